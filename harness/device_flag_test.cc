#include "harness/device_flag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error.h"

namespace rattn {
namespace {

TEST(DeviceFlag, IsShortForABackend) {
  EXPECT_EQ(BackendOn("", ""), "");
  EXPECT_EQ(BackendOn("", "reference"), "reference");
  EXPECT_EQ(BackendOn("cpu", ""), "");
  EXPECT_EQ(BackendOn("cpu", "reference"), "reference");
  EXPECT_EQ(BackendOn("cuda", ""), "cuda");
  EXPECT_EQ(BackendOn("cuda", "cuda"), "cuda");
}

std::string Message(const std::string& device, const std::string& backend) {
  try {
    BackendOn(device, backend);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(DeviceFlag, RefusesContradictions) {
  EXPECT_EQ(Message("cuda", "cpu"),
            "--backend cpu does not run on --device cuda");
  EXPECT_EQ(Message("cpu", "cuda"),
            "--backend cuda does not run on --device cpu");
  EXPECT_THAT(Message("gpu", ""), testing::HasSubstr("'gpu' is none"));
  EXPECT_THAT(Message("reference", ""), testing::HasSubstr("is none"));
}

}  // namespace
}  // namespace rattn
