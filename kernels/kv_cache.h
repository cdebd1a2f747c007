// The cache of one layer: a ring of W slots (local layers), a growing list of
// pages (global layers), sink slots, and one fp32 state per KV head (linear
// memories; per query head only if the problem says so). Owns its memory, which
// lies where the backend that runs on it wants it (Backend::cache_allocator),
// and counts the bytes where it allocates them.
//
// Token t lives
//   t < sinks             in sink slot t,
//   window, t >= sinks    in ring slot (t - sinks) mod W,
//   causal                in page t / kPageTokens.
// With a memory that reads outside the window the ring holds tokens p-W..p-1
// after p tokens and the state tokens 0..p-W-1: writing token p overwrites
// exactly the token p-W that the memory must absorb first.
//
// Deferred absorption (decode): writing a state costs as much as reading it, so
// a state may lack up to m-1 tokens that are kept beside it as phi(k) and v
// ("pending") and read one by one; the m-th makes it take in all of them. They
// could as well wait in m-1 more ring slots, at a quarter of the bytes, but
// would have to be turned back and mapped to features at every step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/problem.h"

namespace rattn {

inline constexpr int64_t kPageTokens = 256;

class KvCache {
 public:
  // From the problem: spec, batch, heads, dims, dtype, positions. `separate_
  // memory_keys`: the caller passes k_memory, so a second key ring is kept
  // for what the memory must absorb (otherwise the rotation of the evicted
  // key is undone). Throws std::bad_alloc.
  explicit KvCache(const Problem& problem, bool separate_memory_keys = false,
                   const Allocator& allocator = HostAllocator());

  // Brings everything elsewhere; does nothing where it is already.
  void MoveTo(const Allocator& allocator);

  // Makes room for `tokens` more tokens; a ring never grows. Throws
  // std::bad_alloc and leaves the cache as it was.
  void Reserve(int64_t tokens);

  int64_t length() const { return length_; }  // tokens seen, per sequence
  void Advance(int64_t tokens) { length_ += tokens; }
  void Reset();  // back to no tokens and zero states

  // Slots the window layers have; 0 for a growing cache or no local branch.
  int64_t ring_slots() const { return ring_slots_; }
  int64_t sinks() const { return sinks_; }
  bool has_keys() const { return has_keys_; }
  bool separate_memory_keys() const { return separate_memory_keys_; }

  // Addresses below lie in the allocator's memory: of a cache on a device, host
  // code must not follow them.

  // Row of token t (see above; it must be resident) of KV head h: head_dim or
  // value_dim elements of the problem's dtype. Rows of successive slots of a
  // head are contiguous inside a page or ring. Keys are stored as the local
  // branch reads them: rotated by their true position where the problem has
  // RoPE, except sink slots with SinkPositions::kSlot, rotated by index (which
  // is the same number). Without a local branch keys are stored as given.
  void* Key(int64_t b, int64_t h, int64_t t) const;
  void* Value(int64_t b, int64_t h, int64_t t) const;
  void* MemoryKey(int64_t b, int64_t h, int64_t t) const;  // if separate

  // Of a growing cache: where its pages begin, page_count() addresses each.
  int64_t page_count() const;
  void* const* KeyPages() const { return pages_.List(0); }
  void* const* ValuePages() const { return pages_.List(1); }
  void* const* MemoryKeyPages() const { return pages_.List(2); }  // if separate

  // fp32 (fp64 for an fp64 problem) [B, StateHeads, F, Dv] and, with
  // Normalizer::kSum, the key sum [B, kv_heads, F, 1]; absent without a memory
  // branch. A caller with an initial state writes it here before token 0, while
  // the cache is the host's.
  TensorView state() const { return WithData(state_, state_bytes_); }
  TensorView key_sum() const { return WithData(key_sum_, key_sum_bytes_); }

  // Tokens that the state takes in at a time, and how many of them wait.
  int64_t absorb_every() const { return absorb_every_; }
  int64_t pending() const { return pending_; }
  void SetPending(int64_t tokens) { pending_ = tokens; }
  // [B, kv_heads, absorb_every - 1, F + Dv], dtype of the state: phi(k), then
  // v, of the tokens 0..pending-1 that wait; their phi(k) are part of key_sum.
  TensorView pending_rows() const { return WithData(rows_, pending_bytes_); }
  // Makes state() complete. On one thread, of a cache in the host's memory: a
  // step of decode does it in passing.
  void AbsorbPending();

  size_t KvBytes() const;     // keys and values, measured
  size_t StateBytes() const;  // states and what waits for them, measured

 private:
  struct Page {
    AlignedBuffer k, v, k_memory;  // each [B, kv_heads, slots, dim]
    int64_t slots = 0;
  };
  // The pages, and beside them the list of where they begin, which kernels on
  // a device follow.
  class Pages {
   public:
    Pages() = default;
    Pages(const Pages& other) : Pages(other, *other.allocator_) {}
    Pages(const Pages& other, const Allocator& allocator);
    Pages& operator=(const Pages& other) { return *this = Pages(other); }
    Pages(Pages&&) noexcept = default;
    Pages& operator=(Pages&&) noexcept = default;

    const std::vector<Page>& all() const { return all_; }
    // All of `pages` or, when an exception leaves, none.
    void Add(std::vector<Page> pages, const Allocator& allocator);
    void Clear() { *this = Pages(); }
    // Of keys, values, memory keys.
    void* const* List(size_t tensor) const {
      return static_cast<void* const*>(list_.data()) + tensor * all_.size();
    }

   private:
    static AlignedBuffer ListOf(const std::vector<Page>& pages,
                                const Allocator& allocator);
    std::vector<Page> all_;
    const Allocator* allocator_ = &HostAllocator();
    AlignedBuffer list_;
  };
  Page MakePage(int64_t slots) const;
  void AddPages(int64_t count, int64_t slots);
  struct Place {
    const Page* page;
    int64_t slot;
  };
  Place Locate(int64_t t) const;
  void* Row(const AlignedBuffer& bytes, const Place& place, int64_t b,
            int64_t h, int64_t dim) const;
  static TensorView WithData(TensorView view, const AlignedBuffer& bytes);

  Shape shape_;
  Dtype dtype_ = Dtype::kF32;
  bool has_keys_ = false;
  bool separate_memory_keys_ = false;
  int64_t ring_slots_ = 0;
  int64_t sinks_ = 0;
  int64_t length_ = 0;
  const Allocator* allocator_;
  Page sink_page_;
  Pages pages_;
  int64_t absorb_every_ = 1;
  int64_t pending_ = 0;
  AlignedBuffer state_bytes_, key_sum_bytes_, pending_bytes_;
  // Shapes only: a copied cache has bytes of its own.
  TensorView state_, key_sum_, rows_;
};

}  // namespace rattn
