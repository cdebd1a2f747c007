// Data for tests in a folder of its own: a few words, an essay, questions.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "models/json_fields.h"
#include "tasks/ruler_text/sources.h"

namespace rattn {

// Templates with our own words and RULER's slots.
inline Json SmallTemplates() {
  const auto entry = [](int budget, const char* text, const char* prefix) {
    return Json{{"tokens_to_generate", budget},
                {"template", text},
                {"answer_prefix", prefix}};
  };
  return {
      {"tasks",
       {{"niah", entry(20,
                       "Some {type_needle_v} are here.\n{context}\nWhat are "
                       "all {type_needle_v} for {query}?",
                       " The {type_needle_v} for {query} are")},
        {"variable_tracking",
         entry(
             30, "Track the variables here.\n\n{context}\nWhich are {query}?",
             " Answer: the {num_v} of {query} that are assigned, they are: ")},
        {"common_words_extraction",
         entry(40, "A list.\n{context}\nWhich are common?",
               " Answer: common:")},
        {"freq_words_extraction",
         entry(15, "Coded: {context}\nWhich are frequent?", " Answer: they:")},
        {"qa", entry(10, "Documents.\n\n{context}\n\nQuestion: {query}",
                     " Answer:")}}},
      {"noise_unit", "The grass is wet. It rains. Go on."},
      {"needle", "One of the {type_needle_v} for {key} is: {value}."}};
}

inline std::string Letter(int i) {
  return std::string(1, static_cast<char>('a' + i % 26));
}

class SmallSources {
 public:
  SmallSources() {
    namespace fs = std::filesystem;
    folder_ =
        fs::path(::testing::TempDir()) /
        fmt::format(
            "ruler_text_{}_{}",
            ::testing::UnitTest::GetInstance()->current_test_info()->name(),
            getpid());
    fs::create_directories(folder_);
    std::string nouns, adjectives, verbs, essay;
    for (int i = 0; i < 400; ++i) {
      const std::string id = Letter(i / 26) + Letter(i);
      nouns += fmt::format("n{}oun\n", id);
      if (i < 60) adjectives += fmt::format("adj{}\n", id);
      verbs += fmt::format("v{}erb\n", id);
    }
    for (int i = 0; i < 300; ++i) {
      essay += fmt::format(
          "Sentence number {} is about the weather of that day.\n", i);
    }
    Write("nounlist.txt", nouns);
    Write("adjectivelist.txt", adjectives);
    Write("verblist.txt", verbs);
    Write("essays.txt", essay);
    Write("templates.json", SmallTemplates().dump());
    Write("squad.json", Squad().dump());
    Write("hotpotqa.json", Hotpot().dump());
  }
  ~SmallSources() { std::filesystem::remove_all(folder_); }

  RulerSources Open() const {
    return RulerSources({folder_.string(), "", "", ""});
  }
  std::string folder() const { return folder_.string(); }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

 private:
  static Json Squad() {
    Json data = Json::array();
    for (int article = 0; article < 10; ++article) {
      Json paragraphs = Json::array();
      for (int p = 0; p < 6; ++p) {
        const std::string id = std::to_string(article * 10 + p);
        const Json answered = {
            {"question", "Where is place " + id + "?"},
            {"is_impossible", false},
            {"answers",
             {{{"text", "region" + id}}, {{"text", "region" + id}}}}};
        const Json impossible = {{"question", "Who knows " + id + "?"},
                                 {"is_impossible", true},
                                 {"answers", Json::array()}};
        paragraphs.push_back(
            {{"context", "Place " + id + " lies in region" + id +
                             ", where it rains on most days of the year."},
             {"qas", {impossible, answered}}});
      }
      data.push_back({{"title", "t"}, {"paragraphs", paragraphs}});
    }
    return {{"version", "v2.0"}, {"data", data}};
  }

  static Json Hotpot() {
    Json rows = Json::array();
    for (int row = 0; row < 30; ++row) {
      Json context = Json::array();
      for (int p = 0; p < 10; ++p) {
        const std::string id = std::to_string(row) + "x" + std::to_string(p);
        context.push_back(
            {"Title " + id,
             {"First of " + id + ".", " Colour" + id + " was seen."}});
      }
      rows.push_back({{"question", "Which colour " + std::to_string(row) + "?"},
                      {"answer", fmt::format("Colour{}x3", row)},
                      {"context", context}});
      if (row % 2 == 0) {
        const std::string title = fmt::format("Title {}x", row);
        rows.back()["supporting_facts"] = Json::array(
            {Json::array({title + "3", 1}), Json::array({title + "7", 0})});
      }
    }
    return rows;
  }

  std::filesystem::path folder_;
};

}  // namespace rattn
