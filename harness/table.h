// Plain tables for the terminal.
#pragma once

#include <string>
#include <vector>

namespace rattn {

class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void Add(std::vector<std::string> row);
  // Columns two spaces apart; numbers to the right, words to the left.
  void Print() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the header first
};

// "1.25 M", "3.40 G": three significant digits with a decimal prefix.
std::string HumanNumber(double value);
// "512 B", "1.50 MiB".
std::string HumanBytes(double bytes);
// "831 ns", "1.25 ms", "3.4 s", "12 min".
std::string HumanSeconds(double seconds);

}  // namespace rattn
