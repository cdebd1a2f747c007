#include "tasks/files/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error.h"

namespace rattn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(CsvTest, QuotedCellsHoldCommasBreaksAndQuotes) {
  const auto rows =
      ParseCsv("a,\"b,\n\"\"c\"\"\",\r\n\nNA,N/A,nu\"ll\n,,", "file.csv");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_THAT(rows[0].cells, ElementsAre("a", "b,\n\"c\"", ""));
  EXPECT_THAT(rows[1].cells, ElementsAre("NA", "N/A", "nu\"ll"));
  EXPECT_THAT(rows[2].cells, ElementsAre("", "", ""));
  EXPECT_EQ(rows[0].line, 1);
  EXPECT_EQ(rows[1].line, 4);
  EXPECT_TRUE(ParseCsv("", "file.csv").empty());
}

TEST(CsvTest, ErrorsNameFileAndLine) {
  EXPECT_THAT([] { ParseCsv("a\nb,\"c\nd", "file.csv"); },
              ThrowsMessage<UserError>(HasSubstr("file.csv:2: a quoted cell")));
  EXPECT_THAT([] { ParseCsv("\"a\nb\"c,d\n", "file.csv"); },
              ThrowsMessage<UserError>(HasSubstr("file.csv:2: text after")));
}

}  // namespace
}  // namespace rattn
