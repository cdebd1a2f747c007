#include "tasks/chat/template_renderer.h"

#include <fmt/format.h>

#include <map>
#include <utility>
#include <vector>

#include "tasks/chat/chat_template.h"
#include "tasks/chat/template_values.h"

namespace rattn {
namespace {

using Kind = TemplateNode::Kind;
// Nodes that a template may visit: many more than any conversation needs.
constexpr int64_t kMostSteps = 5'000'000;

class Renderer {
 public:
  Renderer(const Json& variables, const std::string& origin)
      : origin_(origin), scopes_(1) {
    for (const auto& [name, value] : variables.items()) {
      scopes_[0][name] = value;
    }
  }

  std::string Run(const TemplateNode& root) {
    Statement(root);
    return std::move(output_);
  }

 private:
  using Scope = std::map<std::string, Json>;

  void Step(const TemplateNode& node) {
    if (++steps_ > kMostSteps) {
      FailInTemplate(origin_, node.line, "the template takes too long");
    }
  }

  // Adds the place to errors of values.
  template <typename Call>
  auto At(const TemplateNode& node, const Call& call) const {
    try {
      return call();
    } catch (const UserError& error) {
      FailInTemplate(origin_, node.line, error.what());
    }
  }

  void Print(const TemplateNode& node, const std::string& text) {
    if (output_.size() + text.size() > kMostTemplateText) {
      FailInTemplate(origin_, node.line, "the text becomes too long");
    }
    output_ += text;
  }

  void Statement(const TemplateNode& node) {
    Step(node);
    switch (node.kind) {
      case Kind::kBlock:
        for (const TemplateNode& child : node.children) Statement(child);
        break;
      case Kind::kText:
        Print(node, node.text);
        break;
      case Kind::kPrint: {
        const TemplateValue value = Value(node.children[0]);
        Print(node, At(node, [&] { return PrintedValue(value); }));
        break;
      }
      case Kind::kIf:
        If(node);
        break;
      case Kind::kFor:
        For(node);
        break;
      default:
        Set(node);
    }
  }

  void If(const TemplateNode& node) {
    const size_t count = node.children.size();
    for (size_t i = 0; i + 1 < count; i += 2) {
      if (IsTrue(Value(node.children[i]))) {
        Statement(node.children[i + 1]);
        return;
      }
    }
    if (count % 2 == 1) Statement(node.children[count - 1]);
  }

  void For(const TemplateNode& node) {
    const TemplateValue list = Value(node.children[0]);
    if (!list || !list->is_array()) {
      FailInTemplate(origin_, node.line, "for: only lists are supported");
    }
    const auto length = static_cast<int64_t>(list->size());
    for (int64_t i = 0; i < length; ++i) {
      scopes_.emplace_back();
      scopes_.back()[node.text] = (*list)[static_cast<size_t>(i)];
      scopes_.back()["loop"] = {
          {"index", i + 1},         {"index0", i},
          {"first", i == 0},        {"last", i + 1 == length},
          {"revindex", length - i}, {"revindex0", length - i - 1},
          {"length", length}};
      Statement(node.children[1]);
      scopes_.pop_back();
    }
  }

  Json* Find(const std::string& name) {
    for (size_t i = scopes_.size(); i-- > 0;) {
      const auto found = scopes_[i].find(name);
      if (found != scopes_[i].end()) return &found->second;
    }
    return nullptr;
  }

  // A variable lives in the innermost loop around it; a member of a namespace
  // where the namespace does.
  void Set(const TemplateNode& node) {
    const TemplateValue value = Value(node.children[0]);
    const size_t dot = node.text.find('.');
    if (dot == std::string::npos) {
      if (value) {
        scopes_.back()[node.text] = *value;
      } else {
        scopes_.back().erase(node.text);
      }
      return;
    }
    Json* space = Find(node.text.substr(0, dot));
    if (space == nullptr || !space->is_object()) {
      FailInTemplate(
          origin_, node.line,
          fmt::format("set: there is no namespace for {}", node.text));
    }
    (*space)[node.text.substr(dot + 1)] = value.value_or(nullptr);
  }

  TemplateValue Value(const TemplateNode& node) {
    Step(node);
    switch (node.kind) {
      case Kind::kLiteral:
        return node.literal;
      case Kind::kName: {
        const Json* found = Find(node.text);
        return found == nullptr ? TemplateValue() : TemplateValue(*found);
      }
      case Kind::kCall:
        return Call(node);
      case Kind::kBinary:
        return Binary(node);
      case Kind::kList:
      case Kind::kDict:
        return Collection(node);
      case Kind::kConditional:
        if (IsTrue(Value(node.children[1]))) return Value(node.children[0]);
        return node.children.size() > 2 ? Value(node.children[2])
                                        : TemplateValue();
      default:
        return Operation(node);
    }
  }

  std::vector<TemplateValue> Values(const TemplateNode& node, size_t first) {
    std::vector<TemplateValue> values;
    for (size_t i = first; i < node.children.size(); ++i) {
      values.push_back(Value(node.children[i]));
    }
    return values;
  }

  TemplateValue Operation(const TemplateNode& node) {
    const std::vector<TemplateValue> values = Values(node, 0);
    const auto rest = std::span(values).subspan(1);
    return At(node, [&]() -> TemplateValue {
      if (!node.keywords.empty()) {
        throw UserError(
            fmt::format("{}: named arguments are not supported", node.text));
      }
      switch (node.kind) {
        case Kind::kAttribute:
          return ItemOf(values[0], Json(node.text));
        case Kind::kIndex:
          return ItemOf(values[0], values[1]);
        case Kind::kSlice:
          return SliceOf(values[0], rest);
        case Kind::kFilter:
          return ApplyFilter(node.text, values[0], rest);
        case Kind::kTest:
          return ApplyTest(node.text, values[0], rest);
        default:
          if (node.text == "not") return !IsTrue(values[0]);
          return ApplyOperator("-", Json(0), values[0]);
      }
    });
  }

  TemplateValue Binary(const TemplateNode& node) {
    const TemplateValue left = Value(node.children[0]);
    if (node.text == "and" || node.text == "or") {
      return IsTrue(left) == (node.text == "or") ? left
                                                 : Value(node.children[1]);
    }
    const TemplateValue right = Value(node.children[1]);
    return At(node, [&] { return ApplyOperator(node.text, left, right); });
  }

  Json Collection(const TemplateNode& node) {
    const std::vector<TemplateValue> values = Values(node, 0);
    const bool is_list = node.kind == Kind::kList;
    Json collection = is_list ? Json::array() : Json::object();
    for (size_t i = 0; i < values.size(); i += is_list ? 1 : 2) {
      if (is_list) {
        collection.push_back(values[i].value_or(nullptr));
      } else {
        const std::string key =
            At(node, [&] { return PrintedValue(values[i]); });
        collection[key] = values[i + 1].value_or(nullptr);
      }
    }
    return collection;
  }

  TemplateValue Call(const TemplateNode& node) {
    const TemplateNode& callee = node.children[0];
    if (callee.kind == Kind::kAttribute) {
      const TemplateValue object = Value(callee.children[0]);
      const std::vector<TemplateValue> values = Values(node, 1);
      return At(node, [&] {
        if (!object || !node.keywords.empty()) {
          throw UserError(
              fmt::format("this call of '{}' is not supported", callee.text));
        }
        return CallMethod(*object, callee.text, values);
      });
    }
    const std::vector<TemplateValue> values = Values(node, 1);
    if (callee.kind == Kind::kName && callee.text == "raise_exception") {
      throw ChatRefusal(
          fmt::format("{}:{}: the chat template refuses the messages: {}",
                      origin_, node.line, values.empty() ? "" : At(node, [&] {
                        return PrintedValue(values[0]);
                      })));
    }
    if (callee.kind == Kind::kName && callee.text == "namespace" &&
        node.keywords.size() == values.size()) {
      Json space = Json::object();
      for (size_t i = 0; i < values.size(); ++i) {
        space[node.keywords[i]] = values[i].value_or(nullptr);
      }
      return space;
    }
    FailInTemplate(
        origin_, node.line,
        fmt::format("the function '{}' is not supported", callee.text));
  }

  const std::string& origin_;
  std::vector<Scope> scopes_;
  std::string output_;
  int64_t steps_ = 0;
};

}  // namespace

std::string RenderTemplate(const TemplateNode& root, const Json& variables,
                           const std::string& origin) {
  return Renderer(variables, origin).Run(root);
}

}  // namespace rattn
