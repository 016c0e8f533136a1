// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/plain/findings.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <vector>

#include <fmt/format.h>

namespace gradamp::emulation {
namespace {

struct Hint {
  std::string_view part, other_part;  // of a message
  std::string_view advice;
};

// The first one that fits counts.
constexpr Hint kHints[] = {
    {"race in shared", "changed atomically", "read it by an atomic, too, or after a __syncthreads()"},
    {"race in shared", "", "put a __syncthreads() between the two accesses: in a loop, one per turn"},
    {"race in global", "changed atomically", "read it by an atomic, too, or through a pointer to volatile"},
    {"race in global", "of another block",
     "blocks run in any order: use an atomic, a launch of its own, or a lock with __threadfence() behind and before "
     "it"},
    {"race in global", "",
     "put a __syncthreads() between the two accesses, or use an atomic; a lock needs __threadfence() behind and before "
     "it"},
    {"reads where an asynchronous copy", "", "wait for the copy, then call __syncthreads()"},
    {"reads shared memory that its block has not written", "",
     "write every element before it is read, with a __syncthreads() between; an index may be past the end"},
    {"reads device memory that nothing has written", "the copy at",
     "have the kernel write all of it: is the grid large enough? Or clear it with cudaMemset before"},
    {"reads device memory that nothing has written", "",
     "fill it first with cudaMemcpy or cudaMemset, and check the number of bytes there"},
    {"past the end of an allocation", "", "check the index: if (i < n); is the allocation n * sizeof(type) bytes?"},
    {"bytes before an allocation", "", "check the index: it is negative"},
    {"something was written just", "", "check the indices of what the kernel writes there"},
    {"past the end of the", "dynamic shared memory",
     "the launch's third parameter is a number of bytes: n * sizeof(type); then check the index"},
    {"outside the SHARED arrays", "", "check the index into the shared array"},
    {" past the end of ", "", "check the index"},
    {"which is not the device's memory", "address 0x0,", "the pointer is null: was the memory allocated?"},
    {"which is not the device's memory", "",
     "the pointer is the host's or was never set, or the index is far outside of the array"},
    {"which is not in memory that cudaMalloc gave", "freed", "free it after the last launch that uses it"},
    {"which is not in memory that cudaMalloc gave", "",
     "pass a pointer of cudaMalloc, and copy the host's data there with cudaMemcpy"},
    {"which was freed before", "", "free each allocation once"},
    {"not the beginning of its allocation", "",
     "free the pointer that the allocation gave: by cudaFreeHost if cudaMallocHost or cudaHostAlloc gave it"},
    {"never allocated on the device", "", "free the host's memory with free, delete or delete[], as it was allocated"},
    {"that malloc or new did not give", "",
     "memory of cudaMalloc and cudaMallocManaged is freed with cudaFree, of cudaMallocHost with cudaFreeHost"},
    {"integer division by zero", "", "check the divisor; on a GPU the result is undefined and no error is reported"},
    {"memory below its stack", "", "use smaller local arrays, or less recursion"},
    {"returned, but thread", "__syncthreads",
     "all threads of the block must reach each __syncthreads(): do not return before it; use if (i < n) around the "
     "work"},
    {"threads have returned", "",
     "all threads of the block must reach each __syncthreads(): do not return before it; use if (i < n) around the "
     "work"},
    {"came to __syncthreads", "",
     "all threads of the block must reach the same __syncthreads(): move it out of the if or the loop"},
    {"no thread can go on", "__syncthreads",
     "all threads of the block must reach the same __syncthreads(): move it out of the if or the loop"},
    {"is not in its own mask", "", "the mask must have a bit for each lane that comes here: 0xffffffff for all 32"},
    {"names lane", "which has returned", "the mask must have a bit only for lanes that come here"},
    {"of its warp waits in", "", "all lanes of the mask must come to the same call with the same mask"},
    {"the device takes from 1 to 1024", "", "use a smaller block and more blocks: (n + threads - 1) / threads of them"},
    {"blocks; the device takes", "", "at least 1 block in each dimension, at most 65535 in y and z"},
    {"is not a multiple of that", "", "a vector such as float4 needs an address that is a multiple of its size"},
    {"did not check", "", "check the result of every call, and cudaGetLastError() after every launch"},
};

struct Findings {
  std::mutex mutex;
  std::map<std::string, int, std::less<>> counts;  // by the message without numbers
  std::vector<std::string> repeated;               // in the order of their first repetition

  static Findings& instance() {
    static auto* findings = new Findings;  // used until the program ends
    return *findings;
  }
};

[[noreturn]] void end_program() {
  std::cout.flush();
  std::fflush(stdout);
  for (const std::string& key : Findings::instance().repeated) {
    const int more = Findings::instance().counts[key] - 1;
    std::fprintf(stderr, "gradamp emulate: %d more like this: %s\n", more, key.c_str());
  }
  std::fflush(nullptr);
  std::_Exit(1);
}

void report_one(std::string_view message) {
  Findings& findings = Findings::instance();
  const std::lock_guard lock(findings.mutex);
  std::string key = without_numbers(message);
  const int count = ++findings.counts[key];
  if (count == 2) findings.repeated.push_back(std::move(key));
  if (count > 1) return;
  std::string text = fmt::format("gradamp emulate: {}\n", message);
  if (const std::string_view hint = hint_for(message); !hint.empty()) text += fmt::format("  hint: {}\n", hint);
  std::fputs(text.c_str(), stderr);
}

}  // namespace

std::string_view hint_for(std::string_view message) {
  for (const Hint& hint : kHints)
    if (message.find(hint.part) != std::string_view::npos && message.find(hint.other_part) != std::string_view::npos)
      return hint.advice;
  return "";
}

std::string without_numbers(std::string_view message) {
  std::string text;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const bool begins = i == 0 || message[i - 1] == ' ' || message[i - 1] == '(' || message[i - 1] == ',';
    if (!begins || std::isdigit(static_cast<unsigned char>(message[i])) == 0) {
      text += message[i];
      continue;
    }
    text += 'N';
    while (i + 1 < message.size() && std::isalnum(static_cast<unsigned char>(message[i + 1])) != 0) ++i;
  }
  return text;
}

void report_finding(std::string_view message) noexcept {
  std::fflush(stdout);
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size());
    report_one(message.substr(0, end));
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  static const bool registered = std::atexit([] { end_program(); }) == 0;
  if (!registered) end_program();
}

}  // namespace gradamp::emulation
