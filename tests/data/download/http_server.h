// SPDX-License-Identifier: MIT
// An HTTP server on 127.0.0.1 for tests: serves one content under every path, with the faults that a test requests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace gradamp {

/// The server's reaction to a request.
struct Reply {
  int status = 200;                        // 200 serves the content, or 206 if a range is requested
  bool ignore_range = false;               // serves from the beginning, whatever the request
  std::optional<std::size_t> break_after;  // closes the connection after this many bytes of the body
};

class HttpServer {
 public:
  /// `behave` gets the index of the request, from 0.
  HttpServer(std::string content, std::function<Reply(int)> behave)
      : content_(std::move(content)), behave_(std::move(behave)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(listener_, 8) != 0 || ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
        ::pipe(wake_) != 0) {
      throw std::runtime_error("cannot open a server on 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~HttpServer() {
    stop();
    ::close(wake_[0]);
    ::close(wake_[1]);
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// From now on connections are refused.
  void stop() {
    if (!thread_.joinable()) return;
    if (::write(wake_[1], "x", 1) != 1) std::abort();
    thread_.join();
    ::close(listener_);
  }

  std::string url(const std::string& path = "/file") const { return fmt::format("http://127.0.0.1:{}{}", port_, path); }

  /// The first byte of each request's range; 0 if it had none.
  std::vector<std::size_t> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    for (;;) {
      pollfd waiting[2] = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
      if (::poll(waiting, 2, -1) < 0) continue;
      if (waiting[1].revents != 0) return;
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) continue;
      const timeval limit{20, 0};  // no test waits for a silent client
      ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
      ::setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
      answer(connection);
      ::close(connection);
    }
  }

  void answer(int connection) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(connection, buffer, sizeof(buffer), 0);
      if (got <= 0) return;
      request.append(buffer, static_cast<std::size_t>(got));
    }
    const std::size_t range = request.find("\r\nRange: bytes=");
    const std::size_t first = range == std::string::npos ? 0 : std::strtoul(request.c_str() + range + 15, nullptr, 10);
    int number = 0;
    {
      const std::lock_guard lock(mutex_);
      number = static_cast<int>(requests_.size());
      requests_.push_back(first);
    }
    const Reply reply = behave_(number);
    const bool partly = range != std::string::npos && !reply.ignore_range;
    std::string body = content_, status = "200 OK", more;
    if (reply.status != 200) {
      body = "<html>no such thing</html>";
      status = fmt::format("{} Refused", reply.status);
    } else if (partly && first >= content_.size()) {
      body = "<html>no such range</html>";
      status = "416 Range Not Satisfiable";
      more = fmt::format("Content-Range: bytes */{}\r\n", content_.size());
    } else if (partly) {
      body = content_.substr(first);
      status = "206 Partial Content";
      more = fmt::format("Content-Range: bytes {}-{}/{}\r\n", first, content_.size() - 1, content_.size());
    }
    const std::string head =
        fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n", status, body.size(), more);
    if (reply.break_after) body.resize(std::min(body.size(), *reply.break_after));
    const std::string all = head + body;
    for (std::size_t at = 0; at < all.size();) {
      const ssize_t sent = ::send(connection, all.data() + at, all.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
  }

  std::string content_;
  std::function<Reply(int)> behave_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::size_t> requests_;
  std::thread thread_;
};

}  // namespace gradamp
