// A folder for the tokenizer files of a test.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "models/error.h"
#include "models/scratch_folder.h"
#include "models/tokenizer.h"

namespace rattn {

class TestFolder : public ScratchFolder {
 public:
  // What LoadTokenizer says, "" if it loads. Errors are one line and name the
  // folder.
  std::string LoadError() const {
    try {
      LoadTokenizer(path());
    } catch (const UserError& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
      EXPECT_NE(text.find(path()), std::string::npos) << text;
      return text;
    }
    return "";
  }
};

}  // namespace rattn
