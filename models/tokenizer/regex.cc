#include "models/tokenizer/regex.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/tokenizer/regex_syntax.h"

namespace rattn {
namespace {

constexpr size_t kMostPattern = size_t{1} << 14;
// Backtracking steps from one start: some per byte, so that an honest pattern
// may run over a long text and back once.
constexpr size_t kStepsPerByte = 10;
constexpr size_t kSpareSteps = 100'000;
// Starts that one search may try: between searches the clock is looked at.
constexpr size_t kStartsPerSearch = 64;
constexpr std::chrono::seconds kMostTime{30};
constexpr uint32_t kHeapKib = 256 << 10;
constexpr size_t kJitStack = size_t{8} << 20;

std::string PcreMessage(int code) {
  PCRE2_UCHAR8 text[256];
  pcre2_get_error_message_8(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// What a search needs besides the pattern; one set for each thread.
class Scratch {
 public:
  Scratch()
      : context_(pcre2_match_context_create_8(nullptr)),
        stack_(pcre2_jit_stack_create_8(32 << 10, kJitStack, nullptr)),
        data_(pcre2_match_data_create_8(1, nullptr)) {
    pcre2_jit_stack_assign_8(context_, nullptr, stack_);
    pcre2_set_heap_limit_8(context_, kHeapKib);
  }
  ~Scratch() {
    pcre2_match_data_free_8(data_);
    pcre2_jit_stack_free_8(stack_);
    pcre2_match_context_free_8(context_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  pcre2_match_context_8* context() const { return context_; }
  pcre2_match_data_8* data() const { return data_; }

 private:
  pcre2_match_context_8* context_;
  pcre2_jit_stack_8* stack_;
  pcre2_match_data_8* data_;
};

}  // namespace

struct Regex::Code {
  ~Code() { pcre2_code_free_8(code); }

  // The first match that begins in [from, from + kStartsPerSearch]; false if
  // there is none.
  bool Find(std::string_view text, size_t from, const Scratch& scratch,
            ByteRange* match) const {
    pcre2_set_offset_limit_8(scratch.context(), from + kStartsPerSearch);
    const int rc = pcre2_match_8(
        code, reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(), from,
        PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, scratch.data(), scratch.context());
    if (rc == PCRE2_ERROR_NOMATCH) return false;
    if (rc < 0) Fail(PcreMessage(rc));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer_8(scratch.data());
    *match = {range[0], range[1]};
    // \K can put the start behind the end or before earlier matches.
    if (match->begin < from || match->end <= match->begin) Fail("\\K in it");
    return true;
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw UserError(
        fmt::format("{}: pattern {}: {}", where, Json(pattern).dump(), what));
  }

  std::string pattern, where;
  pcre2_code_8* code = nullptr;
};

Regex::Regex(const std::string& pattern, const std::string& where) {
  auto code = std::make_shared<Code>();
  code->pattern = pattern.substr(0, 200);
  code->where = where;
  if (pattern.size() > kMostPattern) {
    code->Fail(fmt::format("longer than {} bytes", kMostPattern));
  }
  std::string problem;
  const std::string translated = ToPcreSyntax(pattern, &problem);
  if (!problem.empty()) code->Fail(problem + " is not supported");
  int error = 0;
  size_t offset = 0;
  code->code = pcre2_compile_8(
      reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
          PCRE2_USE_OFFSET_LIMIT,
      &error, &offset, nullptr);
  if (code->code == nullptr) code->Fail(PcreMessage(error));
  // Where there is no just-in-time compiler the interpreter does the same.
  pcre2_jit_compile_8(code->code, PCRE2_JIT_COMPLETE);
  code_ = std::move(code);
}

void Regex::FindAll(std::string_view text,
                    std::vector<ByteRange>* matches) const {
  using Clock = std::chrono::steady_clock;
  thread_local const Scratch scratch;
  const size_t steps = kSpareSteps + kStepsPerByte * text.size();
  pcre2_set_match_limit_8(
      scratch.context(),
      std::min<size_t>(steps, std::numeric_limits<uint32_t>::max()));
  const Clock::time_point end = Clock::now() + kMostTime;
  matches->clear();
  size_t searches = 0;
  for (size_t from = 0; from < text.size();) {
    ByteRange match;
    if (code_->Find(text, from, scratch, &match)) {
      matches->push_back(match);
      from = match.end;
    } else {
      from += kStartsPerSearch + 1;
      while (from < text.size() && (text[from] & 0xc0) == 0x80) ++from;
    }
    if (++searches % 64 == 0 && Clock::now() > end) {
      code_->Fail(fmt::format("takes over {} s", kMostTime.count()));
    }
  }
}

}  // namespace rattn
