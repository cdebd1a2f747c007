#include "models/tokenizer/post_processor.h"

#include <fmt/format.h>

#include <array>

namespace rattn {
namespace {

int32_t IdOf(const Component& component, const Json& json) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() > INT32_MAX) {
    component.Fail("needs token ids that are whole numbers below 2^31");
  }
  return json.get<int32_t>();
}

// Does nothing to ids.
AddedAround ReadByteLevel(const Component&) { return {}; }

// The ids that a template's special token stands for.
void AppendSpecial(const Component& component, const std::string& name,
                   std::vector<int32_t>* ids) {
  const Component special =
      component.Child("special_tokens").Child(name.c_str());
  const auto list = special.json().find("ids");
  if (list == special.json().end() || !list->is_array()) {
    special.Fail("needs a list \"ids\"");
  }
  for (const Json& id : *list) ids->push_back(IdOf(special, id));
}

// A template can name a long list of ids again and again.
void CheckCount(const Component& component, const AddedAround& added) {
  constexpr size_t kMostIds = 1024;
  if (added.before.size() + added.after.size() > kMostIds) {
    component.Fail(fmt::format("adds more than {} ids", kMostIds));
  }
}

AddedAround ReadTemplate(const Component& component) {
  AddedAround added;
  bool text_seen = false;
  for (const Component& item : component.List("single")) {
    if (item.Has("Sequence")) {
      if (text_seen) item.Fail("has the text a second time");
      text_seen = true;
    } else {
      AppendSpecial(component, item.Child("SpecialToken").String("id"),
                    text_seen ? &added.after : &added.before);
      CheckCount(component, added);
    }
  }
  if (!text_seen) component.Fail("has no place for the text in \"single\"");
  return added;
}

// {"cls": [text, id], "sep": [text, id]}
AddedAround ReadPair(const Component& component) {
  const auto id = [&](const char* key) {
    const auto found = component.json().find(key);
    if (found == component.json().end() || !found->is_array() ||
        found->size() != 2) {
      component.Fail(std::string("needs a token and its id for ") + key);
    }
    return IdOf(component, (*found)[1]);
  };
  return {{id("cls")}, {id("sep")}};
}

AddedAround ReadSequence(const Component& component) {
  AddedAround all;
  for (const Component& child : component.List("processors")) {
    const AddedAround added = ReadPostProcessor(child);
    all.before.insert(all.before.begin(), added.before.begin(),
                      added.before.end());
    all.after.insert(all.after.end(), added.after.begin(), added.after.end());
    CheckCount(component, all);
  }
  return all;
}

struct Maker {
  std::string_view type;
  AddedAround (*make)(const Component&);
};
constexpr std::array kMakers = {
    Maker{"Sequence", ReadSequence},
    Maker{"ByteLevel", ReadByteLevel},
    Maker{"TemplateProcessing", ReadTemplate},
    Maker{"RobertaProcessing", ReadPair},
    Maker{"BertProcessing", ReadPair},
};

}  // namespace

AddedAround ReadPostProcessor(const Component& component) {
  return MakeFrom(kMakers, component);
}

}  // namespace rattn
