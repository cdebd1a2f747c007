// rattn generate: continues a prompt through the caches of a trained model.
#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "harness/device_flag.h"
#include "harness/kind_fields.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "models/error.h"
#include "models/json_fields.h"
#include "models/runtime.h"

namespace rattn {
namespace {

constexpr int64_t kBytes = 256;
constexpr int64_t kMostNew = 1 << 20;

struct GenerateOptions {
  std::string checkpoint, text;
  std::vector<int32_t> tokens;
  int64_t max_new = 64;
  int32_t stop_token = -1;
  int64_t prefill_chunk = 0;
  ExecutionOptions execution;
  std::string backend, device;
  bool json = false;
};

std::vector<int32_t> PromptOf(const GenerateOptions& options,
                              const LanguageModel& model) {
  std::vector<int32_t> prompt = options.tokens;
  if (!options.text.empty()) {
    if (model.vocab_size() != kBytes) {
      throw UserError(fmt::format(
          "--prompt needs a model of bytes; this one has {} tokens: use "
          "--tokens",
          model.vocab_size()));
    }
    for (const char c : options.text) {
      prompt.push_back(static_cast<unsigned char>(c));
    }
  }
  if (prompt.empty()) throw UserError("generate needs --prompt or --tokens");
  for (const int32_t token : prompt) {
    if (token < 0 || token >= model.vocab_size()) {
      throw UserError(fmt::format("--tokens {}: tokens are from 0 to {}", token,
                                  model.vocab_size() - 1));
    }
  }
  return prompt;
}

std::string BytesText(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) text += static_cast<char>(token);
  return text;
}

int RunGenerate(const GenerateOptions& options) {
  ExecutionOptions execution = options.execution;
  const std::string backend = BackendOn(options.device, options.backend);
  if (!backend.empty()) execution.backend = backend;
  const std::unique_ptr<LanguageModel> model =
      GetModelRuntime().Load(options.checkpoint, execution);
  const std::vector<int32_t> prompt = PromptOf(options, *model);
  CacheUse use;
  const auto start = std::chrono::steady_clock::now();
  const std::vector<int32_t> tokens = model->Generate(
      prompt, options.max_new, options.stop_token, options.prefill_chunk, &use);
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  if (options.json) {
    const Json json = {{"prompt", prompt},
                       {"tokens", tokens},
                       {"kv_bytes", use.kv_bytes},
                       {"state_bytes", use.state_bytes},
                       {"seconds", seconds.count()}};
    fmt::print("{}\n", json.dump());
    return kExitDone;
  }
  if (options.text.empty()) {
    fmt::print("{}\n", fmt::join(tokens, " "));
  } else {
    fmt::print("{}{}\n", options.text, BytesText(tokens));
  }
  std::fflush(stdout);
  fmt::print(stderr, "{} tokens after {} in {}; caches {} and states {}\n",
             tokens.size(), prompt.size(), FormatSeconds(seconds.count()),
             FormatBytes(static_cast<double>(use.kv_bytes)),
             FormatBytes(static_cast<double>(use.state_bytes)));
  return kExitDone;
}

}  // namespace

void AddGenerate(CLI::App& app, Action* action) {
  auto options = std::make_shared<GenerateOptions>();
  app.add_option("--checkpoint", options->checkpoint,
                 "trained model, as rattn train prints it")
      ->required();
  app.add_option("--prompt", options->text, "text, for models of bytes");
  app.add_option("--tokens", options->tokens, "token ids, a list")
      ->delimiter(',');
  app.add_option("--max-new", options->max_new, "tokens to generate")
      ->check(CLI::Range(int64_t{1}, kMostNew))
      ->capture_default_str();
  app.add_option("--stop-token", options->stop_token,
                 "token that ends the text; -1 = none")
      ->capture_default_str();
  app.add_option("--prefill-chunk", options->prefill_chunk,
                 "tokens of the prompt at a time; 0 = all at once")
      ->check(kAtLeastZero)
      ->capture_default_str();
  app.add_option(
      "--backend", options->backend,
      "backend of the mixers (default: " + options->execution.backend + ")");
  app.add_option("--device", options->device, kDeviceHelp);
  app.add_option("--dtype", options->execution.dtype, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", options->execution.threads, "0 = all")
      ->check(CLI::Range(int64_t{0}, kMostThreads));
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunGenerate(*options); };
}

}  // namespace rattn
