#include "models/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "models/error.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SafeTensorsTest : public ::testing::Test {
 protected:
  SafeTensorsTest() {
    std::string pattern = ::testing::TempDir() + "/safetensorsXXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ + "/x.safetensors";
  }
  ~SafeTensorsTest() override { std::filesystem::remove_all(folder_); }

  void WriteBytes(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  void WriteHeader(const std::string& header, size_t payload) const {
    const uint64_t length = header.size();
    std::string bytes(reinterpret_cast<const char*>(&length), 8);
    bytes += header;
    for (size_t i = 0; i < payload; ++i) bytes += static_cast<char>(i);
    WriteBytes(bytes);
  }
  std::string Error() const {
    try {
      SafeTensorsFile file(path_);
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "";
  }

  std::string folder_, path_;
};

TEST_F(SafeTensorsTest, WritesAndReadsBack) {
  const float f[6] = {1, -2, 3.5f, 0, 5, 6};
  const double d[2] = {1.0 / 3, -7};
  const int32_t i[3] = {-1, 0, 70000};
  SafeTensorsWriter writer;
  writer.Add("f", "F32", {2, 3}, f, sizeof f);
  writer.Add("i", "I32", {3}, i, sizeof i);
  writer.Add("d", "F64", {2}, d, sizeof d);
  writer.Add("scalar", "F64", {}, d, 8);
  writer.Add("empty", "F32", {0, 4}, nullptr, 0);
  writer.SetMetadata("note", "two \"words\"");
  writer.Write(path_);

  const SafeTensorsFile file(path_);
  EXPECT_EQ(file.tensors().size(), 5u);
  EXPECT_EQ(file.metadata().at("note"), "two \"words\"");
  EXPECT_THAT(file.Get("f").shape, ElementsAre(2, 3));
  EXPECT_THAT(file.Get("f").ToFloats(), ElementsAre(1, -2, 3.5f, 0, 5, 6));
  EXPECT_THAT(file.Get("d").ToDoubles(), ElementsAre(1.0 / 3, -7));
  EXPECT_THAT(file.Get("i").ToDoubles(), ElementsAre(-1, 0, 70000));
  EXPECT_EQ(file.Get("scalar").NumElements(), 1);
  EXPECT_EQ(file.Get("empty").NumElements(), 0);
  EXPECT_TRUE(file.Get("empty").ToDoubles().empty());
  EXPECT_EQ(file.Find("g"), nullptr);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(SafeTensorsTest, MissingTensorListsWhatIsThere) {
  const float f = 1;
  SafeTensorsWriter writer;
  writer.Add("q", "F32", {1}, &f, 4);
  writer.Add("k", "F32", {1}, &f, 4);
  writer.Write(path_);
  try {
    SafeTensorsFile(path_).Get("v");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no tensor 'v'; it has k, q"));
  }
}

TEST_F(SafeTensorsTest, HalfPrecisionIsWidened) {
  const uint16_t f16[6] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x0400, 0x7bff};
  const uint16_t bf16[2] = {0x3f80, 0xc2f7};
  SafeTensorsWriter writer;
  writer.Add("h", "F16", {6}, f16, sizeof f16);
  writer.Add("b", "BF16", {2}, bf16, sizeof bf16);
  writer.Write(path_);
  const SafeTensorsFile file(path_);
  EXPECT_THAT(file.Get("h").ToDoubles(),
              ElementsAre(1, -2, std::ldexp(1, -24), HUGE_VAL,
                          std::ldexp(1, -14), 65504));
  EXPECT_THAT(file.Get("b").ToDoubles(), ElementsAre(1, -123.5));
}

TEST_F(SafeTensorsTest, UnalignedTensorsAreCopied) {
  WriteHeader(R"({"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
              R"("x":{"dtype":"I32","shape":[2],"data_offsets":[1,9]}})",
              9);
  const SafeTensorsFile file(path_);
  const SafeTensor& x = file.Get("x");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(x.data) % 4, 0u);
  EXPECT_THAT(x.ToDoubles(), ElementsAre(0x04030201, 0x08070605));
}

TEST_F(SafeTensorsTest, TruncatedAnywhereIsRefused) {
  const std::vector<float> f(16, 1.0f);
  SafeTensorsWriter writer;
  writer.Add("f", "F32", {16}, f.data(), 64);
  writer.Write(path_);
  std::ifstream in(path_, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(Error(), "");
  for (size_t length = 0; length < whole.size(); ++length) {
    WriteBytes(whole.substr(0, length));
    EXPECT_NE(Error(), "") << length;
  }
}

TEST_F(SafeTensorsTest, MissingFileAndFolder) {
  path_ = folder_ + "/none.safetensors";
  EXPECT_THAT(Error(), HasSubstr("No such file"));
  path_ = folder_;
  EXPECT_THAT(Error(), HasSubstr("not a regular file"));
}

TEST_F(SafeTensorsTest, HeaderLongerThanTheFile) {
  for (uint64_t length :
       {uint64_t{9}, uint64_t{1} << 40, std::numeric_limits<uint64_t>::max()}) {
    std::string bytes(reinterpret_cast<const char*>(&length), 8);
    WriteBytes(bytes + "{}");
    EXPECT_THAT(Error(), HasSubstr("header"));
  }
}

TEST_F(SafeTensorsTest, MalformedHeadersAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"not json", "not JSON"},
      {"[]", "not a JSON object"},
      {"", "not JSON"},
      {R"({"x":3})", "'x' is not an object"},
      {R"({"x":{"shape":[1],"data_offsets":[0,4]}})", "dtype"},
      {R"({"x":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", "dtype"},
      {R"({"x":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", "dtype"},
      {R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", "no shape"},
      {R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
       "bad axis"},
      {R"({"x":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})",
       "bad axis"},
      {R"({"x":{"dtype":"F32","shape":[18446744073709551615],)"
       R"("data_offsets":[0,4]}})",
       "bad axis"},
      {R"({"x":{"dtype":"F32","shape":[1]}})", "data_offsets"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0]}})",
       "data_offsets"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,-4]}})",
       "data_offsets"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "outside"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", "outside"},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
       "does not fill"},
      // 2^62 * 4 bytes is 0 modulo 2^64.
      {R"({"x":{"dtype":"F32","shape":[4611686018427387904],)"
       R"("data_offsets":[0,0]}})",
       "does not fill"},
      {R"({"x":{"dtype":"F32","shape":[2147483648,2147483648,4],)"
       R"("data_offsets":[0,0]}})",
       "does not fill"},
      {R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("y":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
       "overlap"},
      {R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("x":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "appears twice"},
      {R"({"__metadata__":3})", "metadata"},
      {R"({"__metadata__":{"a":3}})", "metadata"},
      {R"({"x":[[[[[[[[1]]]]]]]]})", "deep"},
  };
  for (const auto& [header, expected] : cases) {
    WriteHeader(header, 8);
    EXPECT_THAT(Error(), HasSubstr(expected)) << header;
  }
}

TEST_F(SafeTensorsTest, WriterRefusesWhatDoesNotFit) {
  const float f = 1;
  SafeTensorsWriter writer;
  EXPECT_THROW(writer.Add("x", "F32", {2}, &f, 4), RunError);
  EXPECT_THROW(writer.Add("x", "F33", {1}, &f, 4), RunError);
  writer.Add("x", "F32", {1}, &f, 4);
  EXPECT_THROW(writer.Add("x", "F32", {1}, &f, 4), RunError);
}

TEST_F(SafeTensorsTest, FailedWriteLeavesTheOldFile) {
  const float f = 1;
  SafeTensorsWriter writer;
  writer.Add("x", "F32", {1}, &f, 4);
  writer.Write(path_);
  EXPECT_THROW(writer.Write(folder_ + "/no/such/folder/y"), RunError);
  // A folder in the way: the rename fails and nothing is left behind.
  std::filesystem::create_directories(folder_ + "/taken/inner");
  EXPECT_THROW(writer.Write(folder_ + "/taken"), RunError);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
  EXPECT_EQ(SafeTensorsFile(path_).Get("x").ToFloats()[0], 1);
}

}  // namespace
}  // namespace rattn
