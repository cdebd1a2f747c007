#include "kernels/cuda/host/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// void RattnSwitchStack(void** save, void* load): pushes what a callee must
// keep, stores the stack pointer in *save, takes over `load` and pops.
extern "C" void RattnSwitchStack(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
  .text
  .globl RattnSwitchStack
  .type RattnSwitchStack, @function
RattnSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size RattnSwitchStack, . - RattnSwitchStack
)");
#elif defined(__aarch64__)
asm(R"(
  .text
  .globl RattnSwitchStack
  .type RattnSwitchStack, %function
RattnSwitchStack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size RattnSwitchStack, . - RattnSwitchStack
)");
#else
#error "fibers are written for x86-64 and 64-bit Arm"
#endif

namespace rattn::cuda {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;
constexpr size_t kGuardBytes = size_t{64} << 10;  // a page, whatever its size

void Unpoison([[maybe_unused]] const void* memory,
              [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

thread_local FiberSet* running_set = nullptr;

// The stack of a fiber that begins: registers to pop, then where to return to.
void* FirstFrame(std::byte* top, void (*begin)()) {
#if defined(__x86_64__)
  constexpr int kRegisters = 6, kSlots = 8, kReturn = kRegisters;
#else
  constexpr int kSlots = 20, kReturn = 11;  // x30
#endif
  auto* frame = reinterpret_cast<uintptr_t*>(top) - kSlots;
  for (int i = 0; i < kSlots; ++i) frame[i] = 0;
  frame[kReturn] = reinterpret_cast<uintptr_t>(begin);
  return frame;
}

}  // namespace

FiberSet::FiberSet(int count)
    : count_(count),
      current_(count),
      contexts_(static_cast<size_t>(count) + 1) {
  const size_t each = kStackBytes + kGuardBytes;
  memory_bytes_ = each * static_cast<size_t>(count);
  void* memory = mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  for (int i = 0; i < count; ++i) {
    std::byte* low = memory_ + each * static_cast<size_t>(i);
    mprotect(low, kGuardBytes, PROT_NONE);
    contexts_[static_cast<size_t>(i)].stack = low + kGuardBytes;
    contexts_[static_cast<size_t>(i)].bytes = kStackBytes;
  }
}

FiberSet::~FiberSet() {
  // Frames that never returned left their red zones behind.
  Unpoison(memory_, memory_bytes_);
  munmap(memory_, memory_bytes_);
}

void FiberSet::Prepare(int fiber, Entry entry, void* argument) {
  Context& c = contexts_[static_cast<size_t>(fiber)];
  if (c.running) Unpoison(c.stack, c.bytes);  // it was dropped
  auto* low = static_cast<std::byte*>(const_cast<void*>(c.stack));
  c.entry = entry;
  c.argument = argument;
  c.running = false;
  c.fake_stack = nullptr;
  c.stack_pointer = FirstFrame(low + c.bytes, &FiberSet::Begin);
}

void FiberSet::Begin() {
  FiberSet& set = *running_set;
#if defined(__SANITIZE_ADDRESS__)
  Context& before = set.contexts_[static_cast<size_t>(set.previous_)];
  __sanitizer_finish_switch_fiber(nullptr, &before.stack, &before.bytes);
#endif
  const Context& c = set.contexts_[static_cast<size_t>(set.current_)];
  c.entry(c.argument);
}

void FiberSet::Switch(int from, int to, bool last) {
  Context& a = contexts_[static_cast<size_t>(from)];
  Context& b = contexts_[static_cast<size_t>(to)];
  running_set = this;
  previous_ = from;
  current_ = to;
  a.running = !last;
  b.running = true;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(last ? nullptr : &a.fake_stack, b.stack,
                                 b.bytes);
#endif
  RattnSwitchStack(&a.stack_pointer, b.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(a.fake_stack, nullptr, nullptr);
#endif
}

}  // namespace rattn::cuda
