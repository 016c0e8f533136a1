// SPDX-License-Identifier: MIT
// A library that is loaded at run time, so that the program also starts if it is not installed.
#pragma once

#include <dlfcn.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {

class SharedLibrary {
 public:
  /// Loads `file` ("libcublas.so.13"): the one that the loader finds by itself (LD_LIBRARY_PATH, the system's folders),
  /// else the first one in `folders`, which are separated by ':'. Error with the loader's reason if there is none.
  SharedLibrary(std::string file, std::string_view folders) : file_(std::move(file)), handle_(open(file_)) {
    std::string reason = handle_ ? "" : last_reason();
    while (handle_ == nullptr && !folders.empty()) {
      const std::string path = std::string(folders.substr(0, folders.find(':'))) + "/" + file_;
      folders.remove_prefix(folders.find(':') == folders.npos ? folders.size() : folders.find(':') + 1);
      handle_ = open(path);
      // The reason why an existing file cannot be loaded is more useful than that another file does not exist.
      if (std::error_code ignored; handle_ == nullptr && std::filesystem::exists(path, ignored)) reason = last_reason();
    }
    check(handle_ != nullptr, "{} cannot be loaded: {}; install it, or name its folder in LD_LIBRARY_PATH", file_,
          reason);
  }
  ~SharedLibrary() { dlclose(handle_); }
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  /// Error if the library has no such function.
  template <typename Function>
  Function* find(const char* function) const {
    void* address = dlsym(handle_, function);
    check(address != nullptr, "{} has no function {}", file_, function);
    return reinterpret_cast<Function*>(address);
  }
  /// Null if the library has no such function.
  template <typename Function>
  Function* find_if_there(const char* function) const {
    return reinterpret_cast<Function*>(dlsym(handle_, function));
  }

 private:
  static void* open(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); }
  static std::string last_reason() {
    const char* reason = dlerror();
    return reason ? reason : "the loader gives no reason";
  }

  std::string file_;
  void* handle_;
};

}  // namespace gradamp
