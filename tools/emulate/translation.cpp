// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/translation.h"

#include <algorithm>
#include <iterator>

#include "gradamp/core/error.h"
#include "gradamp/tools/emulate/tokens.h"

namespace gradamp {
namespace {

/// CUDA's functions whose error a program should look at. (A wrong cudaFree is reported in any case.)
constexpr std::string_view kFunctionsThatFail[] = {"cudaDeviceGetAttribute",
                                                   "cudaDeviceSynchronize",
                                                   "cudaEventCreate",
                                                   "cudaEventCreateWithFlags",
                                                   "cudaEventDestroy",
                                                   "cudaEventElapsedTime",
                                                   "cudaEventRecord",
                                                   "cudaEventSynchronize",
                                                   "cudaFuncSetAttribute",
                                                   "cudaGetDeviceProperties",
                                                   "cudaGetSymbolAddress",
                                                   "cudaGraphInstantiate",
                                                   "cudaGraphLaunch",
                                                   "cudaHostAlloc",
                                                   "cudaMalloc",
                                                   "cudaMallocAsync",
                                                   "cudaMallocHost",
                                                   "cudaMallocManaged",
                                                   "cudaMallocPitch",
                                                   "cudaMemcpy",
                                                   "cudaMemcpy2D",
                                                   "cudaMemcpy2DAsync",
                                                   "cudaMemcpyAsync",
                                                   "cudaMemcpyFromSymbol",
                                                   "cudaMemcpyToSymbol",
                                                   "cudaMemset",
                                                   "cudaMemset2D",
                                                   "cudaMemsetAsync",
                                                   "cudaSetDevice",
                                                   "cudaStreamBeginCapture",
                                                   "cudaStreamCreate",
                                                   "cudaStreamCreateWithFlags",
                                                   "cudaStreamDestroy",
                                                   "cudaStreamEndCapture",
                                                   "cudaStreamSynchronize",
                                                   "cudaStreamWaitEvent"};

/// Replacements of parts of a text. A replacement gets the lines that the part had, so that later lines keep theirs.
class Rewriting {
 public:
  explicit Rewriting(std::string_view text) : text_(text) {}

  void replace(std::size_t begin, std::size_t end, std::string with) {
    const auto lines = [](std::string_view of) { return std::count(of.begin(), of.end(), '\n'); };
    const auto missing = lines(text_.substr(begin, end - begin)) - lines(with);
    if (missing > 0) with.append(static_cast<std::size_t>(missing), '\n');
    parts_.push_back({begin, end, std::move(with)});
  }
  std::string result() {
    std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) { return a.begin < b.begin; });
    std::string all;
    std::size_t at = 0;
    for (const Part& part : parts_) {
      all += text_.substr(at, part.begin - at);
      all += part.with;
      at = part.end;
    }
    return all += text_.substr(at);
  }

 private:
  struct Part {
    std::size_t begin, end;
    std::string with;
  };
  std::string_view text_;
  std::vector<Part> parts_;
};

class Translator {
 public:
  /// `text`: all of the source, or a macro's text.
  Translator(const CudaSource& source, std::string_view text, const std::set<std::string>& templates)
      : source_(source), text_(text), tokens_(tokens_of(text)), templates_(templates), result_(text) {}

  std::string translate() {
    std::size_t statement = 0;  // the first token of the statement
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const std::string_view text = tokens_[i].text;
      if (tokens_[i].kind == TokenKind::kDirective) {
        rewrite_macro(tokens_[i]);
        statement = i + 1;
      } else if (text == "{") {
        is_file_scope_.push_back(opens_file_scope(statement, i));
        open_parentheses_.push_back(0);
        statement = i + 1;
      } else if (text == "}") {
        if (!is_file_scope_.empty()) is_file_scope_.pop_back();
        if (open_parentheses_.size() > 1) open_parentheses_.pop_back();
        statement = i + 1;
      } else if (text == "(" || text == ")") {
        open_parentheses_.back() += text == "(" ? 1 : -1;
      } else if (is_variables_keyword(i) && at_file_scope()) {
        if (const std::size_t end = rewrite_variables(statement); end != 0) {
          i = end;
          statement = end + 1;
        }
      } else if (text == ";") {
        statement = i + 1;
      } else if (tokens_[i].kind == TokenKind::kName && text == "__shared__") {
        i = rewrite_shared(statement, i);
        statement = i + 1;
      } else if (tokens_[i].kind == TokenKind::kName && text == "__noinline__" && !(i > 0 && is(i - 1, "("))) {
        result_.replace(tokens_[i].begin, tokens_[i].end, "__attribute__((noinline))");
      } else if (tokens_[i].kind == TokenKind::kName && (text == "asm" || text == "__asm__")) {
        refuse_ptx(i);
      } else if (ignores_result(statement, i)) {
        result_.replace(tokens_[i].begin, tokens_[i].begin,
                        fmt::format("::gradamp::emulation::unchecked(\"{}\") = ", text));
      } else if (tokens_[i].kind == TokenKind::kName && text == "cudaLaunchKernel") {
        remove_cast(i + 2);
      } else if (text == "<<<") {
        rewrite_launch(i);
      }
    }
    return result_.result();
  }

 private:
  /// Whether the brace at `open`, in the statement from `statement` on, belongs to a namespace or to extern "C".
  bool opens_file_scope(std::size_t statement, std::size_t open) const {
    for (std::size_t i = statement; i < open; ++i)
      if (is(i, "namespace") || (is(i, "extern") && is(i + 1, "\"C\"") && i + 2 == open)) return true;
    return false;
  }
  bool at_file_scope() const {
    return std::all_of(is_file_scope_.begin(), is_file_scope_.end(), [](bool is_file) { return is_file; });
  }

  /// The text of a #define may have launches and shared memory.
  void rewrite_macro(const Token& directive) {
    const std::size_t define = directive.text.find("define");
    if (define == std::string_view::npos || directive.text.find_first_not_of("# \t") != define) return;
    const std::string_view macro = directive.text.substr(define + 6);
    if (macro.find("<<<") == std::string_view::npos && macro.find("__shared__") == std::string_view::npos) return;
    Translator translator(source_, macro, templates_);
    translator.is_file_scope_ = {false};
    translator.first_line_ = line(directive.begin) - 1;
    result_.replace(directive.begin + define + 6, directive.end, translator.translate());
  }

  /// Whether the token begins a statement in a function, and not one of the parts between `for (` and `)`. `statement`:
  /// the first token behind the last semicolon or brace.
  bool begins_statement(std::size_t statement, std::size_t token) const {
    if (token == 0 || at_file_scope() || open_parentheses_.back() != 0) return false;
    if (is(token - 1, ":")) return is(statement, "case") || is(statement, "default");
    for (const std::string_view before : {";", "{", "}", "else", "do"})
      if (is(token - 1, before)) return true;
    if (!is(token - 1, ")")) return tokens_[token - 1].kind == TokenKind::kDirective;
    int depth = 0;
    std::size_t open = token - 1;
    for (;; --open) {
      depth += is(open, ")") ? 1 : is(open, "(") ? -1 : 0;
      if (depth == 0) break;
      if (open == 0) return false;
    }
    return open > 0 && (is(open - 1, "if") || is(open - 1, "for") || is(open - 1, "while"));
  }

  /// Whether the token begins a statement that is only a call of CUDA's runtime.
  bool ignores_result(std::size_t statement, std::size_t token) const {
    return tokens_[token].kind == TokenKind::kName && is(token + 1, "(") &&
           std::binary_search(std::begin(kFunctionsThatFail), std::end(kFunctionsThatFail), tokens_[token].text) &&
           begins_statement(statement, token) && is(closing(token + 1) + 1, ";");
  }

  bool is_variables_keyword(std::size_t token) const {
    return is(token, "__device__") || is(token, "__constant__") || is(token, "__managed__");
  }

  /// The tokens without what is between them; one line.
  std::string joined(std::size_t first, std::size_t end) const {
    std::string text;
    for (std::size_t i = first; i < end; ++i) text += (text.empty() ? "" : " ") + std::string(tokens_[i].text);
    return text;
  }

  /// The variables of the device that are declared from the token `statement` on get protected pages around them.
  /// Returns the last token, or 0 if this is a function, or a declaration of another form, which stays as it is.
  std::size_t rewrite_variables(std::size_t statement) {
    std::string prefix, type, alignment = "1";
    bool is_extern = false, is_const = false;
    std::size_t i = statement, end = statement;
    while (!is(end, ";")) {
      if (end >= tokens_.size() || tokens_[end].kind == TokenKind::kDirective) return 0;
      end = is(end, "{") || is(end, "[") ? closing(end) + 1 : end + 1;
    }
    int angles = 0;
    std::vector<std::size_t> of_type;  // and the first name
    for (; i < end; ++i) {
      const std::string_view text = tokens_[i].text;
      if (angles == 0 && (text == "[" || text == "=" || text == "," || text == "{")) break;
      if (text == "__align__" || text == "alignas") {
        alignment = text_between(i + 2, closing(i + 1));
        i = closing(i + 1);
      } else if (text == "extern" || text == "static" || text == "inline") {
        is_extern = is_extern || text == "extern";
        prefix += std::string(text) + ' ';
      } else if (text == "(" || text == "template" || text == "constexpr" || text == "constinit" || text == "typedef" ||
                 text == "using" || text == "operator" || text == "struct" || text == "class" || text == "enum" ||
                 text == "&" || text == "__attribute__" || text == "__shared__" || text == "__global__") {
        return 0;
      } else if (!is_variables_keyword(i)) {
        is_const = is_const || text == "const";
        angles += text == "<" ? 1 : text == ">" ? -1 : 0;
        of_type.push_back(i);
      }
    }
    if (of_type.size() < 2 || tokens_[of_type.back()].kind != TokenKind::kName) return 0;
    std::size_t name = of_type.back();
    of_type.pop_back();
    std::string stars;
    for (; !of_type.empty() && is(of_type.back(), "*"); of_type.pop_back()) stars += '*';
    for (const std::size_t token : of_type) type += (type.empty() ? "" : " ") + std::string(tokens_[token].text);
    std::string with;
    for (i = name + 1;; ++i) {
      const std::size_t dimensions = i;
      while (is(i, "[")) i = closing(i) + 1;
      std::string extents = text_between(dimensions, i);
      const bool is_array = i != dimensions, is_unsized = is_array && is(dimensions + 1, "]");
      const std::string inner_extents = is_unsized ? text_between(dimensions + 2, i) : "";
      const std::size_t initializer = is(i, "=") ? i + 1 : i;
      const bool has_initializer = is(i, "=") || is(i, "{");
      while (i < end && !is(i, ",")) {
        if (is(i, "<")) return 0;  // a comma may be anything
        i = is(i, "{") || is(i, "(") || is(i, "[") ? closing(i) + 1 : i + 1;
      }
      if (is_const && !is_array) return 0;  // may be a constant expression
      if (is_unsized && !is_extern) {
        if (!has_initializer) return 0;
        extents = fmt::format("[decltype(::gradamp::emulation::extent_of<{0}{1}{2}>({3}))::value]{2}", type, stars,
                              inner_extents, joined(initializer, i));
      }
      const std::string whole = type + stars + extents, variable(tokens_[name].text);
      if (is_extern && !has_initializer)
        with += fmt::format("extern std::type_identity_t<{}>& {};", whole, variable);
      else
        with += fmt::format(
            "{0}::gradamp::emulation::GuardedVariable<{1}, {2}> gradamp_variable_{3}{4}; "
            "{0}std::type_identity_t<{1}>& {3} = gradamp_variable_{3}.value; "
            "static const ::gradamp::emulation::VariableGuard gradamp_guard_{3}(\"{3}\", gradamp_variable_{3});",
            prefix, whole, alignment, variable,
            has_initializer ? "{.value = " + text_between(initializer, i) + "}" : "");
      if (i == end) break;
      for (stars.clear(), ++i; is(i, "*"); ++i) stars += '*';
      if (i >= end || tokens_[i].kind != TokenKind::kName) return 0;
      name = i;
      with += ' ';
    }
    result_.replace(tokens_[statement].begin, tokens_[end].end, with);
    return end;
  }

  /// Removes `(void*)` or `(const void*)` at this token: the kernel's type tells the types of its arguments.
  void remove_cast(std::size_t open) {
    const std::size_t type = is(open + 1, "const") ? open + 2 : open + 1;
    if (is(open, "(") && is(type, "void") && is(type + 1, "*") && is(type + 2, ")"))
      result_.replace(tokens_[open].begin, tokens_[type + 2].end, "");
  }

  /// An error for inline PTX. Other assembly is the processor's.
  void refuse_ptx(std::size_t keyword) const {
    for (std::size_t i = keyword + 1; i < tokens_.size() && !is(i, ";"); ++i) {
      if (tokens_[i].kind != TokenKind::kText) continue;
      const std::string_view text = tokens_[i].text;
      const std::size_t name = text.find_first_not_of("\" \t{"), end = text.find_first_of(" \t;\"", name);
      if (name != std::string_view::npos && text.substr(name, end - name).find('.') != std::string_view::npos)
        fail_at(keyword, "inline PTX, which the emulator does not have: use CUDA's intrinsics or plain C++");
      return;
    }
  }

  int line(std::size_t position) const { return first_line_ + line_of(text_, position); }

  [[noreturn]] void fail_at(std::size_t token, std::string_view what) const {
    fail("{}:{}: {}", source_.path, line(tokens_[std::min(token, tokens_.size() - 1)].begin), what);
  }
  bool is(std::size_t token, std::string_view text) const {
    return token < tokens_.size() && tokens_[token].text == text;
  }

  /// The token that closes the bracket at `open`: ( ), [ ], { }.
  std::size_t closing(std::size_t open) const {
    int depth = 0;
    for (std::size_t i = open; i < tokens_.size(); ++i) {
      const std::string_view text = tokens_[i].text;
      if (text == "(" || text == "[" || text == "{") ++depth;
      if ((text == ")" || text == "]" || text == "}") && --depth == 0) return i;
    }
    fail_at(open, fmt::format("'{}' is not closed", tokens_[open].text));
  }
  std::string text_between(std::size_t first, std::size_t end) const {
    if (first >= end) return "";
    return std::string(text_.substr(tokens_[first].begin, tokens_[end - 1].end - tokens_[first].begin));
  }

  /// A declaration of shared memory from the token `statement`, with __shared__ at `keyword`. Returns its last token.
  std::size_t rewrite_shared(std::size_t statement, std::size_t keyword) {
    std::size_t end = keyword;  // the semicolon
    while (!is(end, ";")) {
      if (end >= tokens_.size()) fail_at(keyword, "the declaration of shared memory has no end");
      end = is(end, "{") || is(end, "(") || is(end, "[") ? closing(end) + 1 : end + 1;
    }
    bool is_extern = false;
    std::string type, alignment;
    std::size_t i = statement;
    // The type: all before the first declarator's name, which is the last name before one of [ , ; =.
    std::vector<std::size_t> of_type;
    int angles = 0;
    for (; i < end; ++i) {
      const std::string_view text = tokens_[i].text;
      if (text == "extern") {
        is_extern = true;
      } else if (text == "static" || text == "__shared__" || text == "constexpr" || text == "inline") {
        continue;
      } else if (text == "__align__" || text == "alignas" || text == "__attribute__") {
        const std::size_t close = closing(i + 1);
        alignment = text_between(i + 2, close);
        i = close;
      } else if (text == "<") {
        ++angles;
        of_type.push_back(i);
      } else if (text == ">") {
        --angles;
        of_type.push_back(i);
      } else if (angles == 0 && (text == "[" || text == "," || text == "=")) {
        break;
      } else if (text == "{" || text == "(") {
        for (const std::size_t close = closing(i); i <= close; ++i) of_type.push_back(i);
        --i;
      } else {
        of_type.push_back(i);
      }
    }
    if (of_type.size() < 2) fail_at(keyword, "expected __shared__ TYPE NAME");
    std::size_t name = of_type.back();
    of_type.pop_back();
    std::string stars;  // of the declarator: the next one may have others
    for (; !of_type.empty() && is(of_type.back(), "*"); of_type.pop_back()) stars += '*';
    for (const std::size_t token : of_type) type += (type.empty() ? "" : " ") + std::string(tokens_[token].text);
    std::string with;
    if (is_extern) {
      if (is(name + 1, ",") || (is(name + 1, "[") && is(closing(name + 1) + 1, ",")))
        fail_at(name, "expected one array in a declaration of dynamic shared memory");
      const bool of_file = at_file_scope();
      with = of_file ? fmt::format("static const ::gradamp::emulation::DynamicSharedOfFile<{}> {}{{}};", type + stars,
                                   tokens_[name].text)
                     : fmt::format("DYNAMIC_SHARED({}, {});", type + stars, tokens_[name].text);
    } else {
      if (at_file_scope()) fail_at(keyword, "shared memory outside of a kernel: declare it inside the kernel");
      if (type.find('{') != std::string::npos) {  // a type may not be defined among the arguments of a template
        const std::string own = fmt::format("gradamp_shared_type_{}", ++types_);
        const std::size_t brace = type.find('{');
        with = fmt::format("{} {} {}; ", type.substr(0, type.find(' ')), own, type.substr(brace));
        type = own;
      }
      for (i = name + 1;; ++i) {
        const std::size_t first = i;
        while (is(i, "[")) i = closing(i) + 1;
        with += fmt::format("SHARED({}, {}{}{});", tokens_[name].text, type, stars, text_between(first, i));
        if (is(i, "=")) fail_at(i, "shared memory cannot be initialized where it is declared");
        if (!is(i, ",")) break;
        for (stars.clear(), ++i; is(i, "*"); ++i) stars += '*';
        name = i;
        with += ' ';
      }
      if (i != end)
        fail_at(i, fmt::format("expected ';' after a declaration of shared memory, got '{}'", tokens_[i].text));
    }
    result_.replace(tokens_[statement].begin, tokens_[end].end, with);
    return end;
  }

  /// Whether the tokens from here are `>>>(`. (`>>>` alone also closes three lists of template arguments.)
  bool closes_launch(std::size_t token) const {
    return token + 3 < tokens_.size() && is(token, ">") && is(token + 1, ">") && is(token + 2, ">") &&
           tokens_[token + 2].end == tokens_[token].begin + 3 && is(token + 3, "(");
  }

  /// The launch whose `<<<` is the token `open`.
  void rewrite_launch(std::size_t open) {
    if (open == 0) fail_at(open, "expected a kernel before '<<<'");
    std::size_t first = open - 1;  // of the kernel's name
    const bool has_arguments = is(first, ">");
    if (has_arguments) {
      int depth = 0;
      for (;; --first) {
        depth += is(first, ">") ? 1 : is(first, "<") ? -1 : 0;
        if (depth == 0) break;
        if (first == 0) fail_at(open, "expected the template arguments of a kernel before '<<<'");
      }
      --first;
    }
    if (tokens_[first].kind != TokenKind::kName) fail_at(open, "expected the name of a kernel before '<<<'");
    const std::string name(tokens_[first].text);
    while (first >= 1 && is(first - 1, "::"))
      first -= first >= 2 && tokens_[first - 2].kind == TokenKind::kName ? 2 : 1;
    const std::string kernel = text_between(first, open);
    std::size_t close = open + 1;
    while (!closes_launch(close)) {
      if (close >= tokens_.size()) fail_at(open, "'<<<' is not closed by '>>>('");
      close = is(close, "(") || is(close, "{") || is(close, "[") ? closing(close) + 1 : close + 1;
    }
    const std::string configuration = text_between(open + 1, close);
    if (configuration.empty()) fail_at(open, "expected the numbers of blocks and threads between '<<<' and '>>>'");
    std::string launch = fmt::format("launch({})", kernel);
    if (templates_.contains(name)) {  // missing arguments of the template follow from those of the call
      const std::string deduced = fmt::format("[](auto&&... gradamp_argument) {{ {}(gradamp_argument...); }}", kernel);
      launch = fmt::format("launch({})", deduced);
      if (has_arguments)
        launch = fmt::format(
            "launch_either([](const auto& gradamp_launch) {{ if constexpr (requires {{ gradamp_launch.launch({0}); }}) "
            "return gradamp_launch.launch({0}); else return gradamp_launch.launch({1}); }})",
            kernel, deduced);
    }
    result_.replace(tokens_[first].begin, tokens_[close + 2].end,
                    fmt::format("::gradamp::emulation::plain({}).{}", configuration, launch));
  }

  const CudaSource& source_;
  std::string_view text_;
  std::vector<Token> tokens_;
  const std::set<std::string>& templates_;
  Rewriting result_;
  int types_ = 0;
  std::vector<bool> is_file_scope_;          // for each brace that is open
  std::vector<int> open_parentheses_ = {0};  // since the last brace that is open
  int first_line_ = 0;                       // number of lines of the source before the text
};

}  // namespace

std::set<std::string> kernel_templates(std::string_view text) {
  const std::vector<Token> tokens = tokens_of(text);
  std::set<std::string> names;
  bool in_template = false;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view token = tokens[i].text;
    if (token == "template") {
      in_template = true;
    } else if (token == ";" || token == "{" || token == "}") {
      in_template = false;
    } else if (token == "__global__" && in_template) {
      for (; i + 1 < tokens.size(); ++i) {
        if (tokens[i].text == "__launch_bounds__") {
          while (i < tokens.size() && tokens[i].text != ")") ++i;
        } else if (tokens[i + 1].text == "(" && tokens[i].kind == TokenKind::kName) {
          names.insert(std::string(tokens[i].text));
          break;
        }
      }
    }
  }
  return names;
}

std::string translate_cuda(const CudaSource& source, const std::set<std::string>& templates) {
  return Translator(source, source.text, templates).translate();
}

std::vector<std::string> quoted_includes(std::string_view text) {
  std::vector<std::string> includes;
  for (const Token& token : tokens_of(text)) {
    if (token.kind != TokenKind::kDirective) continue;
    const std::size_t include = token.text.find("include"), open = token.text.find('"');
    if (include == std::string_view::npos || open == std::string_view::npos) continue;
    const std::size_t close = token.text.find('"', open + 1);
    if (close != std::string_view::npos) includes.emplace_back(token.text.substr(open + 1, close - open - 1));
  }
  return includes;
}

}  // namespace gradamp
