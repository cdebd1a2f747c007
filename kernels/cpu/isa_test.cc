#include "kernels/cpu/isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/test_tensors.h"

namespace rattn {
namespace {

TEST(Isa, TheBestAllowedOneRuns) {
  ASSERT_FALSE(AvailableIsas().empty());
  EXPECT_EQ(CpuIsa(), AvailableIsas().front());
  ASSERT_EQ(IsaSupport().reason, "");
}

TEST(Isa, ForcedOneReportsItself) {
  for (std::string_view isa : AvailableIsas()) {
    ASSERT_TRUE(ForceIsa(isa));
    EXPECT_EQ(CpuIsa(), isa);
    EXPECT_NE(CpuBackend()->description().find(isa), std::string::npos);
  }
  EXPECT_FALSE(ForceIsa("mmx"));
  ASSERT_TRUE(ForceIsa(""));
  EXPECT_EQ(CpuIsa(), AvailableIsas().front());
}

std::vector<double> Attend() {
  Problem problem;
  problem.spec.local = {.kind = LocalKind::kCausal};
  problem.shape = {
      .query_len = 50, .key_len = 50, .head_dim = 64, .value_dim = 64};
  TestTensors tensors(problem, {}, 1);
  RunForward(*CpuBackend(), problem, tensors.buffers);
  return TestTensors::Flat(tensors.buffers.o);
}

// The scalar path multiplies and adds in two roundings, the others in one: the
// kernels' own results tell which of them ran.
TEST(Isa, KernelsRunOnTheForcedOne) {
  if (AvailableIsas().size() == 1 || AvailableIsas().back() != "scalar") {
    GTEST_SKIP() << "no scalar path beside a better one";
  }
  const std::vector<double> best = Attend();
  ASSERT_TRUE(ForceIsa("scalar"));
  const std::vector<double> scalar = Attend();
  ASSERT_TRUE(ForceIsa(""));
  EXPECT_NE(scalar, best);
  EXPECT_EQ(Attend(), best);
  EXPECT_LE(RelativeRms(scalar, best), 1e-6);
}

// RATTN_ISA is read once: every value needs a process of its own.
class IsaEnvironment : public testing::Test {
 protected:
  IsaEnvironment() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

[[noreturn]] void ReportWith(const char* value) {
  setenv("RATTN_ISA", value, 1);
  const Support support = IsaSupport();
  fprintf(stderr, "ran=%s reason=%s", std::string(CpuIsa()).c_str(),
          support.reason.c_str());
  std::exit(support.ok() ? 0 : 3);
}

// The child runs the test from its start: nothing before EXPECT_EXIT may ask
// for the instruction set there.
void ExpectRuns(const std::string& name) {
  EXPECT_EXIT(ReportWith(name.c_str()), testing::ExitedWithCode(0),
              "ran=" + name + " reason=$");
}

TEST_F(IsaEnvironment, ChoosesTheBaseline) {
#if defined(__x86_64__)
  ExpectRuns("scalar");
#else
  ExpectRuns("neon");
#endif
}

#if defined(__x86_64__)
TEST_F(IsaEnvironment, ChoosesAvx2) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 here";
  ExpectRuns("avx2");
}
#endif

TEST_F(IsaEnvironment, UnusableValueIsAReasonAndNoProblemIsSupported) {
  EXPECT_EXIT(ReportWith("sve9"), testing::ExitedWithCode(3),
              "reason=RATTN_ISA=sve9 cannot run here: use one of .+");
  EXPECT_EXIT(
      {
        setenv("RATTN_ISA", "sve9", 1);
        Problem problem;
        problem.spec.local = {.kind = LocalKind::kCausal};
        std::exit(CpuBackend()->Supports(problem).ok() ? 0 : 3);
      },
      testing::ExitedWithCode(3), "");
}

}  // namespace
}  // namespace rattn
