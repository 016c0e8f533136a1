// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/nccl.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/device_memory.h"
#include "gradamp/kernels/emulation/peer_sockets.h"
#include "gradamp/kernels/emulation/runtime_state.h"

namespace gradamp::emulation {

double& peer_timeout() {
  static double seconds = 60;
  return seconds;
}

}  // namespace gradamp::emulation

namespace gradamp::emulated {

using emulation::PeerSockets;

struct ncclComm {
  std::shared_ptr<PeerSockets> sockets;  // which work that has not run shares
};

namespace {

constexpr int kVersion = 22809;  // 2.28.9, whose rules these are

thread_local std::string last_error;

ncclResult_t refused(ncclResult_t result, std::string why) {
  last_error = std::move(why);
  return result;
}

/// The communicators that live, of all threads.
class Registry {
 public:
  static Registry& instance() {
    static auto* registry = new Registry;  // outlives objects that destroy a communicator at exit
    return *registry;
  }
  ncclComm_t add(std::shared_ptr<PeerSockets> sockets) {
    const std::lock_guard lock(mutex_);
    return comms_.emplace_back(std::make_unique<ncclComm>(ncclComm{std::move(sockets)})).get();
  }
  /// Null if there is no such communicator.
  std::shared_ptr<PeerSockets> find(ncclComm_t comm) {
    const std::lock_guard lock(mutex_);
    const auto found = position_of(comm);
    return found == comms_.end() ? nullptr : (*found)->sockets;
  }
  std::shared_ptr<PeerSockets> remove(ncclComm_t comm) {
    const std::lock_guard lock(mutex_);
    const auto found = position_of(comm);
    if (found == comms_.end()) return nullptr;
    std::shared_ptr<PeerSockets> sockets = std::move((*found)->sockets);
    comms_.erase(found);
    return sockets;
  }

 private:
  std::vector<std::unique_ptr<ncclComm>>::iterator position_of(ncclComm_t comm) {
    return std::find_if(comms_.begin(), comms_.end(), [&](const auto& one) { return one.get() == comm; });
  }
  std::mutex mutex_;
  std::vector<std::unique_ptr<ncclComm>> comms_;
};

/// The calls since ncclGroupStart. One that is refused refuses the group.
struct Group {
  int depth = 0;
  ncclResult_t result = ncclSuccess;
  std::vector<PeerSockets::Message> messages;
  std::shared_ptr<PeerSockets> sockets;
  cudaStream_t stream{};
};
thread_local Group group;

ncclResult_t added(const char* function, const PeerSockets::Message& message, ncclDataType_t type, ncclComm_t comm,
                   cudaStream_t stream) {
  std::shared_ptr<PeerSockets> sockets = Registry::instance().find(comm);
  if (!sockets) return refused(ncclInvalidArgument, fmt::format("{}: there is no such communicator", function));
  if (group.depth == 0)
    return refused(ncclInvalidUsage, fmt::format("{}: expected it between ncclGroupStart and ncclGroupEnd, since "
                                                 "outside two ranks can wait for each other for ever",
                                                 function));
  if (type != ncclInt8 && type != ncclUint8)
    return refused(ncclInvalidArgument,
                   fmt::format("{}: the emulator moves bytes only, got type {}", function, static_cast<int>(type)));
  if (message.peer < 0 || message.peer >= sockets->size() || message.peer == sockets->rank())
    return refused(ncclInvalidArgument, fmt::format("{}: expected another rank, from 0 to {}, got {}", function,
                                                    sockets->size() - 1, message.peer));
  const auto& memory = emulation::DeviceMemory::instance();
  if (message.bytes > 0 && !memory.contains(message.memory, message.bytes, emulation::MemoryKind::kDevice))
    return refused(ncclInvalidArgument, fmt::format("{}: expected {} bytes of the device's memory, of which there are "
                                                    "{}",
                                                    function, message.bytes, memory.room_at(message.memory)));
  if (group.messages.empty()) {
    group.sockets = std::move(sockets);
    group.stream = stream;
  }
  if (group.stream != stream || group.sockets != Registry::instance().find(comm))
    return refused(ncclInvalidUsage,
                   fmt::format("{}: the emulator expects one communicator and one stream in a group", function));
  group.messages.push_back(message);
  return ncclSuccess;
}

ncclResult_t add_message(const char* function, const PeerSockets::Message& message, ncclDataType_t type,
                         ncclComm_t comm, cudaStream_t stream) {
  const ncclResult_t result = added(function, message, type, comm, stream);
  if (group.depth > 0 && group.result == ncclSuccess) group.result = result;
  return result;
}

/// 128 bits in hexadecimal digits.
std::string random_name() {
  std::random_device random;
  std::string text;
  for (int i = 0; i < 4; ++i) text += fmt::format("{:08x}", random());
  return text;
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = kVersion;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError: return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError: return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument: return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage: return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
  }
  return "unknown result code";
}

const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  *id = {};
  const std::string name = random_name();
  std::memcpy(id->internal, name.data(), name.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
  *comm = nullptr;
  emulation::RuntimeState& state = emulation::RuntimeState::instance();
  if (state.unusable() != cudaSuccess) return refused(ncclUnhandledCudaError, "the device cannot be used");
  if (size < 1 || rank < 0 || rank >= size)
    return refused(ncclInvalidArgument,
                   fmt::format("ncclCommInitRank: expected a rank from 0 to {}, got {}", size - 1, rank));
  {
    const std::lock_guard lock(state.mutex);
    if (!state.device_can_be_waited_for())
      return refused(ncclInvalidUsage, "ncclCommInitRank: it waits for the device, which a capture forbids");
  }
  try {
    const std::string name(id.internal, ::strnlen(id.internal, sizeof id.internal));
    *comm = Registry::instance().add(std::make_shared<PeerSockets>(name, rank, size, emulation::peer_timeout()));
  } catch (const Error& error) {
    return refused(ncclSystemError, error.what());
  }
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!Registry::instance().remove(comm))
    return refused(ncclInvalidArgument, "ncclCommDestroy: there is no such communicator");
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const std::shared_ptr<PeerSockets> sockets = Registry::instance().remove(comm);
  if (!sockets) return refused(ncclInvalidArgument, "ncclCommAbort: there is no such communicator");
  sockets->abandon();
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  if (!Registry::instance().find(comm))
    return refused(ncclInvalidArgument, "ncclCommGetAsyncError: there is no such communicator");
  *error = ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* memory, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add_message("ncclSend", {peer, const_cast<void*>(memory), count, true}, type, comm, stream);
}

ncclResult_t ncclRecv(void* memory, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add_message("ncclRecv", {peer, memory, count, false}, type, comm, stream);
}

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return refused(ncclInvalidUsage, "ncclGroupEnd: there was no ncclGroupStart");
  if (--group.depth > 0) return ncclSuccess;
  const Group calls = std::exchange(group, {});
  if (calls.result != ncclSuccess || calls.messages.empty()) return calls.result;
  if (const auto graph = emulation::graph_of_capture(calls.stream)) {
    for (const PeerSockets::Message& message : calls.messages)
      emulation::name_memory(*graph, &message.memory, sizeof message.memory, "an exchange between ranks");
  }
  emulation::enqueue(calls.stream, [sockets = calls.sockets, messages = calls.messages] {
    sockets->exchange(messages, emulation::peer_timeout());
  });
  if (emulation::access_observer) {
    for (const PeerSockets::Message& message : calls.messages)
      if (!message.is_sent) emulation::access_observer->host_wrote(message.memory, message.bytes);
  }
  return ncclSuccess;
}

}  // namespace gradamp::emulated
