// Fibers: a fixed set of stacks that one thread switches between, known to
// AddressSanitizer. A switch saves the callee-saved registers only.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace rattn::cuda {

class FiberSet {
 public:
  explicit FiberSet(int count);
  ~FiberSet();
  FiberSet(const FiberSet&) = delete;
  FiberSet& operator=(const FiberSet&) = delete;

  int main() const { return count_; }  // the index of the caller's own stack
  int current() const { return current_; }

  // `entry` begins at the next switch to `fiber` and must not return: it
  // ends with a last Switch away. A fiber that was left in the middle of its
  // work is dropped without destructors.
  using Entry = void (*)(void* argument);
  void Prepare(int fiber, Entry entry, void* argument);

  // Leaves `from`, which is running, for `to`; `last`: never to come back.
  void Switch(int from, int to, bool last = false);

 private:
  struct Context {
    void* stack_pointer = nullptr;
    const void* stack = nullptr;  // lowest address
    size_t bytes = 0;
    void* fake_stack = nullptr;  // AddressSanitizer's
    Entry entry = nullptr;
    void* argument = nullptr;
    bool running = false;
  };
  static void Begin();

  int count_;
  int current_;
  int previous_ = 0;
  std::byte* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  std::vector<Context> contexts_;
};

}  // namespace rattn::cuda
