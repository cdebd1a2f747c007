#include "models/json_fields.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "kernels/nearest_name.h"

namespace rattn {
namespace {

// nlohmann's messages begin with "[json.exception.parse_error.101] ".
std::string WithoutPrefix(const std::string& message) {
  const size_t end = message.find("] ");
  return end == std::string::npos ? message : message.substr(end + 2);
}

std::string Shortened(std::string text) {
  constexpr size_t kLongest = 200;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

// Watches nesting and repeated keys while the text is read.
class Guard {
 public:
  explicit Guard(const std::string& origin) : origin_(origin) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kMaxJsonDepth) {
      throw UserError(fmt::format("{}: nested deeper than {} levels", origin_,
                                  kMaxJsonDepth));
    }
    if (event == Event::object_start) {
      seen_.resize(std::max<size_t>(seen_.size(), depth + 2));
      seen_[depth + 1].clear();
    } else if (event == Event::key) {
      const std::string key = parsed.get<std::string>();
      if (seen_[depth].size() >= kMaxJsonKeys) {
        throw UserError(fmt::format("{}: more than {} keys in one object",
                                    origin_, kMaxJsonKeys));
      }
      if (!seen_[depth].insert(key).second) {
        throw UserError(fmt::format("{}: key \"{}\" stands twice in one object",
                                    origin_, Shortened(key)));
      }
    }
    return true;
  }

 private:
  const std::string& origin_;
  std::vector<std::set<std::string>> seen_;  // by depth of the object's keys
};

}  // namespace

Json ParseJsonText(std::string_view text, const std::string& origin) {
  if (text.size() > kMaxJsonBytes) {
    throw UserError(
        fmt::format("{}: larger than {} bytes", origin, kMaxJsonBytes));
  }
  try {
    // By reference: the parser copies its callback.
    Guard guard(origin);
    return Json::parse(
        text.begin(), text.end(),
        [&guard](int depth, Json::parse_event_t event, Json& parsed) {
          return guard(depth, event, parsed);
        });
  } catch (const Json::exception& e) {
    throw UserError(fmt::format("{}: not valid JSON: {}", origin,
                                Shortened(WithoutPrefix(e.what()))));
  }
}

std::string ReadTextFile(const std::string& path, size_t max_bytes) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    throw UserError(fmt::format("{}: {}", path, std::strerror(errno)));
  }
  if (S_ISDIR(info.st_mode)) {
    throw UserError(fmt::format("{}: is a folder, a file is needed", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw UserError(fmt::format("{}: {}", path, std::strerror(errno)));
  }
  // In pieces: the size of a pipe or a growing file is not known beforehand.
  std::string text;
  std::vector<char> piece(size_t{1} << 16);
  while (file.read(piece.data(), piece.size()), file.gcount() > 0) {
    text.append(piece.data(), file.gcount());
    if (text.size() > max_bytes) {
      throw UserError(fmt::format("{}: larger than {} bytes", path, max_bytes));
    }
  }
  return text;
}

Json ReadJsonFile(const std::string& path) {
  return ParseJsonText(ReadTextFile(path), path);
}

namespace json_fields {

std::string Join(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

void ThrowType(const std::string& origin, const std::string& path,
               const std::string& expected, const Json& got) {
  throw UserError(fmt::format(
      "{}: {} must be {}, not {}", origin,
      path.empty() ? "the file" : "\"" + path + "\"", expected,
      Shortened(got.dump(-1, ' ', false, Json::error_handler_t::replace))));
}

void ThrowMissing(const std::string& origin, const std::string& path) {
  throw UserError(fmt::format("{}: key \"{}\" is missing", origin, path));
}

void CheckKeys(const std::string& origin, const std::string& path,
               const Json& object, const std::vector<std::string>& known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw UserError(fmt::format("{}: unknown key \"{}\"{}", origin,
                                  Shortened(Join(path, key)),
                                  NearestHint(key, known)));
    }
  }
}

}  // namespace json_fields
}  // namespace rattn
