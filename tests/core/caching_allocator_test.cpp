// SPDX-License-Identifier: MIT
#include "gradamp/core/caching_allocator.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gradamp {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// A system with limited memory, which records its allocations.
class SmallSystem final : public MemorySource {
 public:
  explicit SmallSystem(std::size_t bytes) : left_(bytes) {}
  ~SmallSystem() override { EXPECT_TRUE(given_.empty()) << "memory was not given back"; }
  void* allocate(std::size_t bytes) override {
    if (bytes > left_) return nullptr;
    left_ -= bytes;
    void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    given_[memory] = bytes;
    return memory;
  }
  void release(void* memory, std::size_t bytes) noexcept override {
    EXPECT_EQ(given_.at(memory), bytes);
    given_.erase(memory);
    left_ += bytes;
    std::free(memory);
  }
  std::size_t free_bytes() const override { return left_; }

 private:
  std::size_t left_;
  std::map<void*, std::size_t> given_;
};

CachingAllocator make_allocator(std::size_t bytes, bool cached = true) {
  return CachingAllocator(std::make_unique<SmallSystem>(bytes), cached);
}

TEST(CachingAllocator, HandsTheSameMemoryOutAgain) {
  CachingAllocator allocator = make_allocator(16 * kMiB);
  auto block = allocator.allocate(4 * kMiB);
  const void* const first = block.get();
  block.reset();
  EXPECT_EQ(allocator.use().in_use, 0u);
  EXPECT_EQ(allocator.use().held, 4 * kMiB);
  block = allocator.allocate(4 * kMiB);
  EXPECT_EQ(block.get(), first);
  EXPECT_NE(allocator.allocate(4 * kMiB).get(), first);
}

TEST(CachingAllocator, GivesBackWhatItKeepsBeforeItFails) {
  CachingAllocator allocator = make_allocator(8 * kMiB);
  for (int i = 0; i < 4; ++i) allocator.allocate((2 + i) * kMiB);  // each needs the memory that the earlier ones held
  EXPECT_LE(allocator.use().held, 8 * kMiB);
}

TEST(CachingAllocator, SaysHowMuchWasAskedForHeldAndFree) {
  CachingAllocator allocator = make_allocator(8 * kMiB);
  const auto kept = allocator.allocate(3 * kMiB);
  try {
    allocator.allocate(6 * kMiB);
    FAIL() << "there are only 8 MiB";
  } catch (const OutOfMemory& error) {
    EXPECT_STREQ(error.what(), "out of memory: 6.0 MiB were asked for, 3.0 MiB are held, 5.0 MiB are free");
    EXPECT_EQ(error.use().in_use, 3 * kMiB);
    EXPECT_EQ(error.use().free, 5 * kMiB);
  }
  EXPECT_NE(allocator.allocate(5 * kMiB), nullptr) << "it goes on after a failure";
}

TEST(CachingAllocator, GivesBackWhatIsNotInUse) {
  CachingAllocator allocator = make_allocator(16 * kMiB);
  const auto kept = allocator.allocate(2 * kMiB);
  allocator.allocate(5 * kMiB);
  allocator.release_unused();
  EXPECT_EQ(allocator.use().held, 2 * kMiB);
  EXPECT_EQ(allocator.use().free, 14 * kMiB);
}

TEST(CachingAllocator, MemoryOutlivesIt) {
  std::shared_ptr<void> block;
  {
    CachingAllocator allocator = make_allocator(16 * kMiB);
    block = allocator.allocate(100);
  }
  std::memset(block.get(), 1, 100);
}

TEST(CachingAllocator, UncachedSizesAreExact) {
  CachingAllocator allocator = make_allocator(16 * kMiB, false);
  const auto block = allocator.allocate(100);
  EXPECT_EQ(allocator.use().held, 100u);
  allocator.allocate(100);
  EXPECT_EQ(allocator.use().held, 100u);
}

class ReservationTest : public testing::TestWithParam<bool> {};

TEST_P(ReservationTest, KeepsItsMemoryForItself) {
  CachingAllocator allocator = make_allocator(16 * kMiB, GetParam());
  auto before = allocator.allocate(2 * kMiB);
  CachingAllocator::Reservation reservation(allocator);
  const void *reserved = nullptr, *early = before.get();
  {
    const CachingAllocator::Reservation::Scope scope(reservation);
    reserved = allocator.allocate(2 * kMiB).get();
    before.reset();  // not from the reservation: free for every allocation
  }
  auto first = allocator.allocate(2 * kMiB), second = allocator.allocate(2 * kMiB);
  EXPECT_NE(first.get(), reserved);
  EXPECT_NE(second.get(), reserved);
  if (GetParam()) {
    EXPECT_TRUE(first.get() == early || second.get() == early);
    const CachingAllocator::Reservation::Scope again(reservation);
    EXPECT_EQ(allocator.allocate(2 * kMiB).get(), reserved);
  }
}

TEST(Reservation, ALargerBlockServesWhereMemoryIsShort) {
  CachingAllocator allocator = make_allocator(8 * kMiB);
  CachingAllocator::Reservation reservation(allocator);
  const CachingAllocator::Reservation::Scope scope(reservation);
  const void* const large = allocator.allocate(5 * kMiB).get();
  const auto small = allocator.allocate(2 * kMiB);
  EXPECT_NE(small.get(), large) << "there was memory for it";
  EXPECT_EQ(allocator.allocate(2 * kMiB).get(), large);
  EXPECT_THROW(allocator.allocate(6 * kMiB), OutOfMemory);
}

TEST_P(ReservationTest, GivesItsMemoryBackWhenAsked) {
  CachingAllocator allocator = make_allocator(8 * kMiB, GetParam());
  CachingAllocator::Reservation reservation(allocator);
  {
    const CachingAllocator::Reservation::Scope scope(reservation);
    allocator.allocate(5 * kMiB);
  }
  EXPECT_THROW(allocator.allocate(8 * kMiB), OutOfMemory);
  reservation.give_back();
  EXPECT_NE(allocator.allocate(8 * kMiB), nullptr);
}

TEST_P(ReservationTest, GivesItsMemoryBackWhenItGoes) {
  CachingAllocator allocator = make_allocator(8 * kMiB, GetParam());
  std::shared_ptr<void> later;
  {
    CachingAllocator::Reservation reservation(allocator);
    const CachingAllocator::Reservation::Scope scope(reservation);
    allocator.allocate(2 * kMiB);
    later = allocator.allocate(3 * kMiB);
  }
  later.reset();
  EXPECT_EQ(allocator.use().in_use, 0u);
  EXPECT_NE(allocator.allocate(8 * kMiB), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Cached, ReservationTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "cached" : "exact"; });

TEST(Reservation, OneIsOpenAtATime) {
  CachingAllocator allocator = make_allocator(kMiB);
  CachingAllocator::Reservation one(allocator), two(allocator);
  const CachingAllocator::Reservation::Scope scope(one);
  EXPECT_THROW(CachingAllocator::Reservation::Scope{two}, Error);
}

}  // namespace
}  // namespace gradamp
