// SPDX-License-Identifier: MIT
// The tokens of C++ as far as a rewriting needs them: names, numbers, texts, punctuation. Comments are left out;
// preprocessor directives are one token each.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace gradamp {

enum class TokenKind { kName, kNumber, kText, kPunctuation, kDirective };

struct Token {
  TokenKind kind;
  std::string_view text;   // into the source
  std::size_t begin, end;  // in the source
};

/// The tokens of `source`. `<<<`, `<<`, `::` and `->` are one token, all other punctuation is of one character.
std::vector<Token> tokens_of(std::string_view source);

/// The line of a position, from 1.
int line_of(std::string_view source, std::size_t position);

}  // namespace gradamp
