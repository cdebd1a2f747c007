#include "kernels/kv_cache.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <iterator>
#include <new>

#include "kernels/window.h"

namespace rattn {
namespace {

// Sizes come from configs: a product that overflows cannot be allocated.
size_t Product(std::initializer_list<int64_t> factors) {
  size_t product = 1;
  for (int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(
                          product, static_cast<size_t>(factor), &product)) {
      throw std::bad_alloc();
    }
  }
  return product;
}

// Eager. A step of rattention (batch 8, 4 KV heads, D 128, W 512, cold,
// AVX-512, two threads) took 290 us with m = 1, 280 with 4, 289 to 309 with 8,
// 304 to 315 with 16 and 325 to 330 with 32: the reads of keys and values bound
// it, and the writes go along. linear alone gains: 124 us with 1, 102 with 8.
constexpr int64_t kDefaultAbsorbEvery = 1;

// A memory that reads outside the window absorbs keys W tokens late.
bool ReadsDelayed(const MixerSpec& spec) {
  return HasMemory(spec) && MemoryDelay(spec) > 0;
}

int64_t RingSlots(const MixerSpec& spec) {
  if (spec.local.kind == LocalKind::kCausal) return 0;
  if (HasLocal(spec)) return spec.local.window_keys;
  return ReadsDelayed(spec) ? MemoryDelay(spec) : 0;
}

// state += phi(k)^T v for the first `count` of `rows` (KvCache::pending_rows),
// for every state of their KV head.
template <typename T>
void AddOuter(const TensorView& state, const TensorView& rows, int64_t count) {
  const int64_t features = state.shape[2];
  const int64_t copies = state.shape[1] / rows.shape[1];
  for (int64_t b = 0; b < state.shape[0]; ++b) {
    for (int64_t h = 0; h < state.shape[1]; ++h) {
      for (int64_t f = 0; f < features; ++f) {
        T* to = state.Row<T>(b, h, f);
        for (int64_t i = 0; i < count; ++i) {
          const T* row = rows.Row<const T>(b, h / copies, i);
          for (int64_t c = 0; c < state.shape[3]; ++c) {
            to[c] += row[f] * row[features + c];
          }
        }
      }
    }
  }
}

}  // namespace

int64_t AbsorbEvery(const Problem& p) {
  return p.tiling.absorb_every > 0 ? p.tiling.absorb_every
                                   : kDefaultAbsorbEvery;
}

KvCache::Pages::Pages(const Pages& other, const Allocator& allocator)
    : allocator_(&allocator) {
  for (const Page& page : other.all_) {
    all_.push_back({{page.k, allocator},
                    {page.v, allocator},
                    {page.k_memory, allocator},
                    page.slots});
  }
  list_ = ListOf(all_, allocator);
}

void KvCache::Pages::Add(std::vector<Page> pages, const Allocator& allocator) {
  const size_t before = all_.size();
  all_.reserve(before + pages.size());
  std::move(pages.begin(), pages.end(), std::back_inserter(all_));
  try {
    list_ = ListOf(all_, allocator);
  } catch (...) {
    all_.resize(before);
    throw;
  }
  allocator_ = &allocator;
}

AlignedBuffer KvCache::Pages::ListOf(const std::vector<Page>& pages,
                                     const Allocator& allocator) {
  const AlignedBuffer list(3 * pages.size() * sizeof(void*));
  void** to = static_cast<void**>(list.data());
  for (const AlignedBuffer Page::*tensor :
       {&Page::k, &Page::v, &Page::k_memory}) {
    for (const Page& page : pages) *to++ = (page.*tensor).data();
  }
  return AlignedBuffer(list, allocator);
}

KvCache::KvCache(const Problem& problem, bool separate_memory_keys,
                 const Allocator& allocator)
    : shape_(problem.shape),
      dtype_(problem.dtype),
      has_keys_(HasLocal(problem.spec) || ReadsDelayed(problem.spec)),
      separate_memory_keys_(separate_memory_keys && ReadsDelayed(problem.spec)),
      ring_slots_(RingSlots(problem.spec)),
      sinks_(SinkCount(problem.spec.local)),
      allocator_(&allocator) {
  if (sinks_ > 0) sink_page_ = MakePage(sinks_);
  if (ring_slots_ > 0) AddPages(1, ring_slots_);
  if (!HasMemory(problem.spec)) return;
  const Dtype state_dtype = dtype_ == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32;
  const auto make = [&](AlignedBuffer* bytes, int64_t heads, int64_t rows,
                        int64_t columns) {
    const std::array<int64_t, 4> shape = {shape_.batch, heads, rows, columns};
    *bytes =
        AlignedBuffer(Product({shape[0], shape[1], shape[2], shape[3],
                               static_cast<int64_t>(ByteSize(state_dtype))}),
                      *allocator_);
    return Contiguous(nullptr, state_dtype, shape);
  };
  const int64_t features = FeatureDim(problem);
  state_ = make(&state_bytes_, StateHeads(problem), features, shape_.value_dim);
  absorb_every_ = AbsorbEvery(problem);
  rows_ = make(&pending_bytes_, shape_.kv_heads, absorb_every_ - 1,
               PendingDim(problem));
  if (problem.spec.memory.normalizer == Normalizer::kSum) {
    key_sum_ = make(&key_sum_bytes_, shape_.kv_heads, features, 1);
  }
}

KvCache::Page KvCache::MakePage(int64_t slots) const {
  const int64_t element = static_cast<int64_t>(ByteSize(dtype_));
  const auto bytes = [&](int64_t dim) {
    return Product({shape_.batch, shape_.kv_heads, slots, dim, element});
  };
  Page page;
  page.slots = slots;
  page.k = AlignedBuffer(bytes(shape_.head_dim), *allocator_);
  page.v = AlignedBuffer(bytes(shape_.value_dim), *allocator_);
  if (separate_memory_keys_) {
    page.k_memory = AlignedBuffer(bytes(shape_.head_dim), *allocator_);
  }
  return page;
}

void KvCache::Reserve(int64_t tokens) {
  if (!has_keys_ || ring_slots_ > 0) return;
  const int64_t pages = (length_ + tokens + kPageTokens - 1) / kPageTokens;
  if (pages > page_count()) AddPages(pages - page_count(), kPageTokens);
}

void KvCache::AddPages(int64_t count, int64_t slots) {
  std::vector<Page> pages;
  for (int64_t i = 0; i < count; ++i) pages.push_back(MakePage(slots));
  pages_.Add(std::move(pages), *allocator_);
}

int64_t KvCache::page_count() const {
  return static_cast<int64_t>(pages_.all().size());
}

void KvCache::MoveTo(const Allocator& allocator) {
  if (&allocator == allocator_) return;
  for (AlignedBuffer* buffer :
       {&sink_page_.k, &sink_page_.v, &sink_page_.k_memory, &state_bytes_,
        &key_sum_bytes_, &pending_bytes_}) {
    *buffer = AlignedBuffer(*buffer, allocator);
  }
  pages_ = Pages(pages_, allocator);
  allocator_ = &allocator;
}

void KvCache::Reset() {
  length_ = pending_ = 0;
  if (ring_slots_ == 0) pages_.Clear();
  state_bytes_.Zero();
  key_sum_bytes_.Zero();
}

void KvCache::AbsorbPending() {
  if (pending_ == 0) return;
  const TensorView whole = state();
  if (whole.dtype == Dtype::kF64) {
    AddOuter<double>(whole, pending_rows(), pending_);
  } else {
    AddOuter<float>(whole, pending_rows(), pending_);
  }
  pending_ = 0;
}

KvCache::Place KvCache::Locate(int64_t t) const {
  if (t < sinks_) return {&sink_page_, t};
  if (ring_slots_ > 0) return {&pages_.all()[0], (t - sinks_) % ring_slots_};
  return {&pages_.all()[static_cast<size_t>(t / kPageTokens)], t % kPageTokens};
}

void* KvCache::Row(const AlignedBuffer& bytes, const Place& place, int64_t b,
                   int64_t h, int64_t dim) const {
  const int64_t row =
      (b * shape_.kv_heads + h) * place.page->slots + place.slot;
  return static_cast<std::byte*>(bytes.data()) +
         row * dim * static_cast<int64_t>(ByteSize(dtype_));
}

void* KvCache::Key(int64_t b, int64_t h, int64_t t) const {
  const Place place = Locate(t);
  return Row(place.page->k, place, b, h, shape_.head_dim);
}

void* KvCache::Value(int64_t b, int64_t h, int64_t t) const {
  const Place place = Locate(t);
  return Row(place.page->v, place, b, h, shape_.value_dim);
}

void* KvCache::MemoryKey(int64_t b, int64_t h, int64_t t) const {
  const Place place = Locate(t);
  return Row(place.page->k_memory, place, b, h, shape_.head_dim);
}

TensorView KvCache::WithData(TensorView view, const AlignedBuffer& bytes) {
  view.data = bytes.data();
  return view;
}

size_t KvCache::KvBytes() const {
  const auto page_bytes = [](const Page& page) {
    return page.k.size() + page.v.size() + page.k_memory.size();
  };
  size_t bytes = page_bytes(sink_page_);
  for (const Page& page : pages_.all()) bytes += page_bytes(page);
  return bytes;
}

size_t KvCache::StateBytes() const {
  return state_bytes_.size() + key_sum_bytes_.size() + pending_bytes_.size();
}

}  // namespace rattn
