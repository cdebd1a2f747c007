#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/kernel_roofline_cases.h"
#include "harness/program_test_util.h"
#include "kernels/cuda/softmax_choice.h"
#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

using testing::HasSubstr;

GpuLimits H100() { return *LoadHardware("h100-sxm").gpu; }

// As NVIDIA's occupancy calculator counts for compute capability 9.0.
TEST(Occupancy, EachLimitCounts) {
  const auto of = [](int registers, int threads, int shared) {
    const Occupancy o = OccupancyOf({.registers = registers,
                                     .spill_bytes = 0,
                                     .stack_bytes = 0,
                                     .shared_bytes = 0},
                                    threads, shared, H100());
    return fmt::format("{} {} {:.4g}", o.blocks, o.limit, o.threads);
  };
  EXPECT_EQ(of(32, 1024, 0), "2 registers 1");  // first of equal limits
  EXPECT_EQ(of(16, 256, 0), "8 threads 1");
  EXPECT_EQ(of(16, 32, 0), "32 blocks 0.5");
  // 168 registers: 5376 of a warp, 12 warps of 65536.
  EXPECT_EQ(of(168, 128, 0), "3 registers 0.1875");
  EXPECT_EQ(of(255, 128, 0), "2 registers 0.125");
  // 98304 + 1024 of 233472 bytes.
  EXPECT_EQ(of(128, 128, 96 * 1024), "2 shared memory 0.125");
  EXPECT_EQ(of(64, 128, 228 * 1024), "0 shared memory 0");
}

CompiledKernels AnyKernels(const Problem& problem) {
  CompiledKernels compiled;
  compiled.compute_capability = 90;
  for (const auto& launch : cuda::CudaLaunches(problem, {90, 132, false})) {
    compiled.kernels[launch.kernel] = {.registers = 128,
                                       .spill_bytes = 0,
                                       .stack_bytes = 0,
                                       .shared_bytes = 0};
  }
  return compiled;
}

Problem FullAttention(int64_t batch, int64_t length) {
  Problem p;
  MixerSpec spec;
  spec.local.kind = LocalKind::kCausal;
  p.spec = spec;
  p.dtype = Dtype::kBF16;
  p.shape = {batch, 16, 16, length, length, 128, 128};
  return p;
}

TEST(KernelRoofline, TermsAreTheFormula) {
  const Hardware h100 = LoadHardware("h100-sxm");
  const Problem p = FullAttention(1, 2048);
  const KernelEstimate e = EstimateKernels(p, h100, AnyKernels(p));
  ASSERT_EQ(e.launches.size(), 1u);
  const LaunchEstimate& one = e.launches.front();
  EXPECT_DOUBLE_EQ(one.flops_seconds, one.launch.work.flops / 989e12);
  EXPECT_DOUBLE_EQ(one.exps_seconds,
                   one.launch.work.exps / (16 * 132 * 1.83e9));
  EXPECT_DOUBLE_EQ(one.bytes_seconds, one.launch.work.bytes / 3.35e12);
  EXPECT_EQ(one.Bound(), "FLOPs");
  // 16 blocks of 16 heads on 132 multiprocessors: some have 2, 1.94 on average.
  EXPECT_EQ(one.launch.kernel, "SoftmaxHopper<Bf16, 128>");
  EXPECT_EQ(one.launch.blocks(), 256);
  EXPECT_NEAR(one.tail_seconds, one.flops_seconds * (2 / (256 / 132.0) - 1),
              1e-12);
  EXPECT_NEAR(one.waves, 256 / 132.0 / one.occupancy.blocks, 1e-12);
  EXPECT_DOUBLE_EQ(e.seconds(), one.RooflineSeconds() + one.tail_seconds +
                                    h100.gpu->launch_seconds);
}

// Kernels with mma.sync reach less of Hopper's peak.
TEST(KernelRoofline, MmaHasAPeakOfItsOwn) {
  Problem p = FullAttention(1, 2048);
  p.shape.head_dim = p.shape.value_dim = 256;
  const Hardware h100 = LoadHardware("h100-sxm");
  const auto one = EstimateKernels(p, h100, AnyKernels(p)).launches.front();
  EXPECT_DOUBLE_EQ(one.flops_seconds,
                   one.launch.work.flops / (989e12 * cuda::kMmaShareOnHopper));
}

// A single block leaves all multiprocessors but one without work.
TEST(KernelRoofline, FewBlocksAreATail) {
  const Hardware h100 = LoadHardware("h100-sxm");
  Problem p = FullAttention(1, 64);
  p.shape.query_heads = p.shape.kv_heads = 1;
  const auto e = EstimateKernels(p, h100, AnyKernels(p)).launches.front();
  EXPECT_NEAR(e.tail_seconds + e.RooflineSeconds(),
              132 * std::max(e.flops_seconds, e.exps_seconds), 1e-12);
}

TEST(KernelRoofline, NamesAKernelThatWasNotCompiled) {
  const Problem p = FullAttention(1, 64);
  CompiledKernels none;
  none.compute_capability = 90;
  try {
    EstimateKernels(p, LoadHardware("h100-sxm"), none);
    FAIL();
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("no SoftmaxForward<Bf16, 128, (KeySource)0>"));
    EXPECT_THAT(error.what(), HasSubstr("check_cuda_kernels 90 --write"));
  }
}

// What nvcc made of the kernels is complete wherever it is kept.
TEST(KernelRoofline, EveryGpuWithAFileHasAllKernels) {
  KernelRooflineFlags flags;
  flags.model = LoadModelConfig("rattention-12b");
  flags.contexts = {1024};
  flags.batches = {1};
  flags.phases = {"forward", "train"};
  const auto kept = ListConfigs("kernels");
  EXPECT_THAT(kept, testing::Contains("sm_90"));
  for (const std::string& name : ListConfigs("hardware")) {
    const Hardware hardware = LoadHardware(name);
    if (!hardware.gpu) continue;
    const int capability = hardware.gpu->compute_capability;
    const std::string file = fmt::format("sm_{}", capability);
    if (std::find(kept.begin(), kept.end(), file) == kept.end()) continue;
    SCOPED_TRACE(name);
    auto points = KernelPoints(flags);
    EstimateOn(hardware, LoadCompiledKernels(capability), &points);
    for (const KernelPoint& point : points) {
      EXPECT_TRUE(!point.skipped.empty() || point.estimate.seconds() > 0);
    }
  }
}

TEST(KernelRoofline, SaysHowToWriteAMissingFile) {
  try {
    LoadCompiledKernels(31);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("sm_31.json is missing"));
    EXPECT_THAT(error.what(), HasSubstr("check_cuda_kernels 31 --write"));
  }
}

// A bound that measured kernels beat would be no bound.
TEST(KernelRoofline, PublishedFiguresStayBelowTheBound) {
  const PublishedFigures published = LoadPublished("attention-h100");
  const Hardware hardware = LoadHardware(published.hardware);
  EXPECT_THAT(published.source, HasSubstr("arXiv 2407.08608"));
  for (const PublishedRow& row : published.rows) {
    const Problem p = ProblemOf(published, row);
    const auto e = EstimateKernels(p, hardware, AnyKernels(p));
    for (const auto& [name, flops] : row.flops) {
      EXPECT_LT(flops, e.useful_flops / e.roofline_seconds)
          << name << " at " << row.context;
    }
  }
}

TEST(KernelRooflineVerb, PrintsTablesAndJson) {
  const Ended text = RunProgram({"roofline", "rattention-12b", "--kernels",
                                 "--variant", "swa", "--context", "4096"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const char* part : {"SoftmaxHopper<Bf16, 128>", "limited by",
                           "FlashAttention-3", "not modelled", "waves"}) {
    EXPECT_THAT(text.out, HasSubstr(part));
  }
  const Ended json =
      RunProgram({"roofline", "rattention-12b", "--kernels", "--json",
                  "--context", "4096", "--phase", "forward,train"});
  const Json all = ParseJsonText(json.out, "output");
  const Json& gpu = all.at("gpus").at(0);
  EXPECT_GT(gpu.at("predictions").size(), 6u);
  EXPECT_EQ(gpu.at("published").size(), 6u);
  const Ended others =
      RunProgram({"roofline", "rattention-12b", "--kernels", "--json",
                  "--context", "512", "--hardware", "h200,b200"});
  const Json gpus = ParseJsonText(others.out, "output").at("gpus");
  EXPECT_EQ(gpus.at(0).at("published").size(), 6u);
  EXPECT_EQ(gpus.at(1).at("published").size(), 0u);
}

TEST(KernelRooflineVerb, MisuseIsNamed) {
  const auto fails = [](const char* flag, const char* value, const char* text) {
    const Ended run = RunProgram({"roofline", "--kernels", flag, value});
    EXPECT_EQ(run.exit_code, 2) << run.out;
    EXPECT_THAT(run.err, HasSubstr(text));
  };
  fails("--hardware", "h100-sxn", "h100-sxm");
  fails("--hardware", "tpu-v5p", "needs \"gpu\"");
  fails("--phase", "decode", "forward and train");
  fails("--dtype", "fp32", "bf16 only");
  fails("--context", "0", "--context must be from 1");
}

}  // namespace
}  // namespace rattn
