// A folder for the tokenizer files of a test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "models/error.h"
#include "models/tokenizer.h"

namespace rattn {

class TestFolder {
 public:
  TestFolder() {
    std::string pattern = ::testing::TempDir() + "/tokenizerXXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
  }
  // What LoadTokenizer says, "" if it loads. Errors are one line and name the
  // folder.
  std::string LoadError() const {
    try {
      LoadTokenizer(path_);
    } catch (const UserError& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
      EXPECT_NE(text.find(path_), std::string::npos) << text;
      return text;
    }
    return "";
  }

 private:
  std::string path_;
};

}  // namespace rattn
