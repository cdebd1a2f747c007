// rattn tokenize: what the tokenizer of a checkpoint makes of a text, and the
// way back.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "models/error.h"
#include "models/json_fields.h"
#include "models/text_lines.h"
#include "models/tokenizer.h"

namespace rattn {
namespace {

struct TokenizeOptions {
  std::string tokenizer, text, file;
  std::vector<int32_t> decode;
  bool no_special = false;
  bool lines = false;
  bool json = false;
};

// Pieces can hold anything; a table row must stay one line.
std::string Quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<std::string> PiecesOf(const Tokenizer& tokenizer,
                                  const std::vector<int32_t>& ids) {
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(tokenizer.Piece(id));
  return pieces;
}

void Print(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
           bool json) {
  const std::vector<std::string> pieces = PiecesOf(tokenizer, ids);
  if (json) {
    const Json line = {{"ids", ids},
                       {"pieces", pieces},
                       {"text", tokenizer.Decode(ids, /*skip_special=*/false)}};
    fmt::print("{}\n",
               line.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  TextTable table({"id", "piece"}, {1});
  for (size_t i = 0; i < ids.size(); ++i) {
    table.Add({fmt::format("{}", ids[i]), Quoted(pieces[i])});
  }
  fmt::print("{}{} tokens\n", table.Plain(), ids.size());
}

std::string InputOf(const TokenizeOptions& options) {
  if (options.file.empty()) return options.text;
  if (options.file != "-") return ReadTextFile(options.file);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

// With --lines every line is a text of its own, given as a JSON string if it
// begins with a quotation mark.
void EncodeLines(const Tokenizer& tokenizer, const std::string& input,
                 const TokenizeOptions& options) {
  ForEachLine(input, [&](std::string_view line, int64_t number) {
    std::string text(line);
    if (text.starts_with('"')) {
      text = ParseJsonText(text, fmt::format("line {}", number))
                 .get<std::string>();
    }
    Print(tokenizer, tokenizer.Encode(text, !options.no_special), options.json);
  });
}

int RunTokenize(const TokenizeOptions& options, bool decodes) {
  const auto tokenizer = LoadTokenizer(options.tokenizer);
  if (decodes) {
    Print(*tokenizer, options.decode, options.json);
    if (!options.json) {
      fmt::print("{}\n",
                 Quoted(tokenizer->Decode(options.decode, options.no_special)));
    }
    return kExitDone;
  }
  const std::string input = InputOf(options);
  if (options.lines) {
    EncodeLines(*tokenizer, input, options);
  } else {
    Print(*tokenizer, tokenizer->Encode(input, !options.no_special),
          options.json);
  }
  return kExitDone;
}

}  // namespace

void AddTokenize(CLI::App& app, Action* action) {
  auto options = std::make_shared<TokenizeOptions>();
  app.add_option("--tokenizer", options->tokenizer,
                 "folder with tokenizer.json or tokenizer.model")
      ->required();
  CLI::App* input = app.add_option_group("input", "what to tokenize");
  input->add_option("--text", options->text, "the text itself");
  input->add_option("--file", options->file, "a file, - for standard input");
  CLI::Option* decode =
      input->add_option("--decode", options->decode, "ids to turn into text")
          ->delimiter(',');
  input->require_option(1);
  app.add_flag("--no-special", options->no_special,
               "add no BOS or EOS; with --decode leave special tokens out");
  app.add_flag("--lines", options->lines,
               "every line is a text of its own, a JSON string if it begins "
               "with \"");
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options, decode] {
    return RunTokenize(*options, decode->count() > 0);
  };
}

}  // namespace rattn
