// Evaluations of a tiny checkpoint by the program itself: killed ones go on to
// the very samples of one that nobody disturbed, whatever batches and threads.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <random>
#include <thread>

#include "harness/byte_tokenizer_file.h"
#include "harness/program_test_util.h"
#include "models/safetensors.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kVocab = 256, kWidth = 32, kHeads = 2, kDim = 16, kFfn = 64,
                  kLayers = 2;
constexpr int kQuestions = 400, kKills = 10;

void WriteWeights(const std::string& path) {
  std::mt19937 random(5);
  SafeTensorsWriter writer;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    std::normal_distribution<float> normal(shape.size() == 1 ? 1 : 0, 0.3F);
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal(random);
    writer.Add(name, "F32", std::move(shape), values.data(),
               values.size() * sizeof(float));
  };
  add("model.embed_tokens.weight", {kVocab, kWidth});
  add("model.norm.weight", {kWidth});
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    for (const char* name : {"q", "k", "v"}) {
      add(fmt::format("{}self_attn.{}_proj.weight", layer, name),
          {kHeads * kDim, kWidth});
    }
    add(layer + "self_attn.o_proj.weight", {kWidth, kHeads * kDim});
    add(layer + "input_layernorm.weight", {kWidth});
    add(layer + "post_attention_layernorm.weight", {kWidth});
    add(layer + "mlp.gate_proj.weight", {kFfn, kWidth});
    add(layer + "mlp.up_proj.weight", {kFfn, kWidth});
    add(layer + "mlp.down_proj.weight", {kWidth, kFfn});
  }
  writer.Write(path);
}

void WriteModel(const std::string& folder) {
  fs::create_directories(folder);
  WriteByteTokenizer(folder);
  std::ofstream(folder + "/tokenizer_config.json")
      << R"({"eos_token": "\u0100"})";
  const Json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"vocab_size", kVocab},
                       {"hidden_size", kWidth},
                       {"num_hidden_layers", kLayers},
                       {"num_attention_heads", kHeads},
                       {"head_dim", kDim},
                       {"intermediate_size", kFfn},
                       {"rms_norm_eps", 1e-6},
                       {"max_position_embeddings", 4096},
                       {"tie_word_embeddings", true}};
  std::ofstream(folder + "/config.json") << config.dump();
  WriteWeights(folder + "/model.safetensors");
}

// Questions with choices and with answers to generate.
void WriteData(const std::string& folder) {
  fs::create_directories(folder + "/piqa");
  fs::create_directories(folder + "/triviaqa");
  std::ofstream piqa(folder + "/piqa/valid.jsonl"),
      labels(folder + "/piqa/valid-labels.lst"),
      trivia(folder + "/triviaqa/rc.nocontext_validation.jsonl");
  for (int i = 0; i < kQuestions; ++i) {
    const std::string text = fmt::format("How does one count to {}", i * i);
    piqa << Json{{"goal", text}, {"sol1", "up"}, {"sol2", text}} << "\n";
    labels << i % 2 << "\n";
    if (i % 10 > 0) continue;
    trivia << Json{{"question", text},
                   {"question_id", fmt::format("q{}", i)},
                   {"answer", {{"value", "up"}, {"aliases", {"up"}}}}}
           << "\n";
  }
}

class EvalKill : public testing::Test {
 protected:
  void SetUp() override {
    if (!HasModelLayer()) GTEST_SKIP() << "built without LibTorch";
    WriteModel(folder_ / "model");
    WriteData(folder_ / "data");
  }

  std::vector<std::string> Call(const std::string& out,
                                const std::string& journal,
                                const std::string& batch,
                                const std::string& threads) const {
    return {"eval",
            "--model",
            folder_ / "model",
            "--data",
            folder_ / "data",
            "--tasks",
            "piqa,triviaqa,vt",
            "--ruler-mode",
            "fresh",
            "--lengths",
            "1024,2048",
            "--samples",
            "4",
            "--dtype",
            "bf16",
            "--use_cache",
            journal,
            "--output_path",
            folder_ / out,
            "--log_samples",
            "--batch_size",
            batch,
            "--threads",
            threads};
  }

  // What the samples files of the folder hold, by task.
  std::map<std::string, std::string> Samples(const std::string& out) const {
    std::map<std::string, std::string> samples;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / out)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("samples_")) continue;
      samples[name.substr(0, name.find("_20"))] = FileText(entry.path());
    }
    return samples;
  }

  std::map<std::string, std::string> SamplesOfRun(
      const std::string& out, const std::string& journal,
      const std::string& batch, const std::string& threads) const {
    const Ended ended = RunProgram(Call(out, journal, batch, threads));
    EXPECT_EQ(ended.exit_code, 0) << ended.err;
    return Samples(out);
  }

  // Kills the program at a random time after it has kept further answers.
  void KillOnce(const std::string& journal, std::mt19937* random) const {
    std::error_code none;
    const auto size = [&] {
      return fs::exists(journal) ? fs::file_size(journal, none) : 0;
    };
    const auto before = size();
    const auto latest =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    Program program(Call("killed", journal, "auto", "2"));
    while (size() == before && std::chrono::steady_clock::now() < latest) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(
        std::uniform_int_distribution(0, 100000)(*random)));
    program.Signal(SIGKILL);
    program.Wait();
  }

  TemporaryFolder folder_;
};

TEST_F(EvalKill, ResumedRunsEqualUndisturbedOnes) {
  const auto whole = SamplesOfRun("whole", "none", "auto", "2");
  ASSERT_EQ(whole.size(), 3u);
  const std::string journal = folder_ / "journal.jsonl";
  std::mt19937 random(11);
  for (int i = 0; i < kKills; ++i) KillOnce(journal, &random);
  ASSERT_FALSE(FileText(journal).empty());
  fs::remove_all(folder_ / "killed");
  EXPECT_EQ(SamplesOfRun("killed", journal, "auto", "2"), whole);
}

TEST_F(EvalKill, BatchesAndThreadsChangeNoSample) {
  const auto whole = SamplesOfRun("whole", "none", "auto", "2");
  for (const char* batch : {"1", "3", "16"}) {
    for (const char* threads : {"1", "2"}) {
      const std::string out = fmt::format("{}-{}", batch, threads);
      EXPECT_EQ(SamplesOfRun(out, "none", batch, threads), whole) << out;
    }
  }
}

}  // namespace
}  // namespace rattn
