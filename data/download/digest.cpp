// SPDX-License-Identifier: MIT
#include "gradamp/data/download/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/data/files/durable_file.h"

namespace gradamp {

struct Md5::State {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Md5::Md5() : state_(std::make_unique<State>()) {
  check(state_->context != nullptr && EVP_DigestInit_ex(state_->context.get(), EVP_md5(), nullptr) == 1,
        "OpenSSL offers no MD5 here (a FIPS configuration switches it off), so a download cannot be checked");
}

Md5::~Md5() = default;

void Md5::add(const void* bytes, std::size_t count) {
  check(EVP_DigestUpdate(state_->context.get(), bytes, count) == 1, "OpenSSL failed to compute an MD5 sum");
}

std::string Md5::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned int size = 0;
  check(EVP_DigestFinal_ex(state_->context.get(), sum.data(), &size) == 1 && size == 16,
        "OpenSSL failed to compute an MD5 sum");
  std::string digits;
  for (unsigned int i = 0; i < size; ++i) digits += fmt::format("{:02x}", sum[i]);
  return digits;
}

std::string md5_of_file(const std::filesystem::path& path, FileSystem& file_system) {
  FileReader file(path, file_system);
  Md5 md5;
  std::vector<std::byte> buffer(std::size_t{1} << 16);
  for (std::int64_t offset = 0; offset < file.size();) {
    const std::int64_t count = std::min<std::int64_t>(file.size() - offset, std::ssize(buffer));
    const auto part = std::span(buffer).first(static_cast<std::size_t>(count));
    file.read(part, offset);
    md5.add(part.data(), part.size());
    offset += count;
  }
  file.close();
  return md5.finish();
}

}  // namespace gradamp
