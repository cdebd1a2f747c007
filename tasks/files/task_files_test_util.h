// A data folder of the test's own, and the tasks on its files.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tasks/files/text_task_list.h"

namespace rattn {

class TaskFilesTest : public testing::Test {
 protected:
  ~TaskFilesTest() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(folder_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  TextTask Load(const std::string& name) {
    DataFolder data(folder_);
    return LoadTextSuite({name}, &data).tasks.at(0);
  }
  // Tests run side by side in processes of their own.
  const std::string folder_ =
      testing::TempDir() + "/task_files-" + std::to_string(getpid());
};

}  // namespace rattn
