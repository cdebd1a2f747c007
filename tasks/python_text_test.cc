// Expected values are CPython 3.11's.
#include "tasks/python_text.h"

#include <gtest/gtest.h>

#include <string>

namespace rattn {
namespace {

TEST(PythonTextTest, StripsAllUnicodeWhiteSpace) {
  EXPECT_EQ(PythonStrip("\xc2\xa0\x1c a b\xe3\x80\x80\n"), "a b");
  EXPECT_EQ(PythonLStrip("  a "), "a ");
  EXPECT_EQ(PythonRStrip("  a\xe2\x80\xa8 "), "  a");
  EXPECT_EQ(PythonStrip(" \t\n"), "");
  // Zero-width space and the byte order mark are no white space.
  EXPECT_EQ(PythonStrip("\xe2\x80\x8b"), "\xe2\x80\x8b");
  EXPECT_EQ(PythonRStrip("a\xa0"), "a\xa0");  // not UTF-8
  int spaces = 0;
  for (char32_t c = 0; c < 0x110000; ++c) spaces += IsPythonSpace(c);
  EXPECT_EQ(spaces, 29);
}

TEST(PythonTextTest, CapitalizeLowersTheRestAndMayLengthen) {
  EXPECT_EQ(PythonCapitalize("iPhone McDonald"), "Iphone mcdonald");
  EXPECT_EQ(PythonCapitalize("ßtraße"), "Sstraße");
  EXPECT_EQ(PythonCapitalize("ǆabc"), "ǅabc");
  EXPECT_EQ(PythonCapitalize("ŉabc"), "ʼNabc");
  EXPECT_EQ(PythonCapitalize("ΣΑΣ"), "Σας");
  EXPECT_EQ(PythonCapitalize("İSTANBUL"), "İstanbul");
  EXPECT_EQ(PythonCapitalize(" abC"), " abc");
  EXPECT_EQ(PythonCapitalize(""), "");
}

TEST(PythonTextTest, LowerMapsFully) {
  EXPECT_EQ(PythonLower("İstanbul"), "i̇stanbul");
  EXPECT_EQ(PythonLower("ΑΣ ΣΑΣ"), "ας σας");
  EXPECT_EQ(PythonLower("𐐀A"), "𐐨a");
}

TEST(PythonTextTest, CountsCodePoints) {
  EXPECT_EQ(CodePoints("naïve 😀"), 7);
  EXPECT_EQ(CodePoints("\xff\xfe"), 2);
  EXPECT_EQ(FirstCodePoints("i̇stanbul", 8), "i̇stanbu");
  EXPECT_EQ(FirstCodePoints("ab", 5), "ab");
  EXPECT_EQ(EncodeUtf8(DecodeUtf8("a\xc3")), "a\xef\xbf\xbd");
}

TEST(PythonTextTest, RemovesAsciiPunctuationOnly) {
  EXPECT_EQ(RemovePunctuation("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ a“b”"),
            " a“b”");
}

TEST(PythonTextTest, ReplacesInOnePass) {
  EXPECT_EQ(ReplaceAll("a   b", "  ", " "), "a  b");
  EXPECT_EQ(ReplaceAll("xx", "x", ""), "");
}

TEST(PythonTextTest, CountsPiecesBetweenWhiteSpace) {
  EXPECT_EQ(CountWords(" a b\n\nc "), 5);
  EXPECT_EQ(CountWords(""), 1);
}

TEST(PythonTextTest, Repr) {
  EXPECT_EQ(PythonRepr("it's"), "\"it's\"");
  EXPECT_EQ(PythonRepr("a\"b'c"), "'a\"b\\'c'");
  EXPECT_EQ(PythonRepr("tab\t\x7f\xc2\xa0\xe2\x80\x8bé\\"),
            "'tab\\t\\x7f\\xa0\\u200bé\\\\'");
  EXPECT_EQ(PythonRepr("\xf3\xa0\x80\x81"), "'\\U000e0001'");
  EXPECT_EQ(PythonRepr(std::vector<std::string>{"a", "b"}), "['a', 'b']");
  EXPECT_EQ(PythonRepr(std::vector<std::string>{}), "[]");
}

}  // namespace
}  // namespace rattn
