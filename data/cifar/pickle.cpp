// SPDX-License-Identifier: MIT
// Python's Lib/pickletools.py documents the instructions.
#include "gradamp/data/cifar/pickle.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>
#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

constexpr std::int64_t kMaxInstructions = 4'000'000;  // CIFAR-100's labels as numpy integers need 2 million
constexpr std::int64_t kMaxContainers = 1000;         // lists, dictionaries and arrays; CIFAR's files have up to 7
constexpr std::size_t kMaxTupleDepth = 3;
constexpr std::size_t kMaxNameLength = 64;

/// The values on the machine's stack. Lists and dictionaries contain no lists or dictionaries that could contain them
/// in turn, so no value refers to itself.
struct Mark {};
struct Global {
  std::string name;  // "module.name"; only compared
};
struct Value;
struct TupleOf;
using Text = PickledText;
using Tuple = std::shared_ptr<const TupleOf>;
using List = std::shared_ptr<PickledList>;
using Array = std::shared_ptr<PickledArray>;
using Dict = std::shared_ptr<PickledDict>;
using Type = std::shared_ptr<IntegerType>;  // a numpy.dtype; its byte order is set after it was stored in the memo
struct Value : std::variant<PickledNone, bool, std::int64_t, Text, Tuple, List, Array, Dict, Type, Mark, Global> {
  using variant::variant;
};
struct TupleOf {
  std::vector<Value> values;
  std::size_t depth = 1;
};

/// Converts UTF-8 with code points below 256 to Latin-1: Python 3 encodes bytes this way under protocol 2.
bool latin1_bytes(const std::string& text, std::string& bytes) {
  bytes.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
      continue;
    }
    if (lead > 0xC3 || lead < 0xC2 || i + 1 >= text.size()) return false;
    const auto next = static_cast<unsigned char>(text[++i]);
    if ((next & 0xC0) != 0x80) return false;
    bytes += static_cast<char>(((lead & 3) << 6) | (next & 0x3F));
  }
  return true;
}

/// `text` as it may be shown: printable, and short.
std::string shown(std::string_view text) {
  std::string result;
  for (const char byte : text.substr(0, kMaxNameLength)) result += byte >= ' ' && byte <= '~' ? byte : '?';
  return text.size() > kMaxNameLength ? result + "..." : result;
}

/// Appends a code point as UTF-8.
void append_utf8(std::string& text, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

/// The number that begins `text` in hexadecimal digits; false if there are fewer than `digits`.
bool hexadecimal(std::string_view text, std::size_t digits, std::uint32_t& value) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value, 16);
  return error == std::errc() && end == text.data() + digits;
}

/// Text of protocol 0: Latin-1 with \\uXXXX and \\UXXXXXXXX (Python's raw-unicode-escape). False if an escape is wrong.
bool unescape_unicode(std::string_view line, std::string& text) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    std::uint32_t code = static_cast<unsigned char>(line[i]);
    if (code == '\\' && i + 1 < line.size() && (line[i + 1] == 'u' || line[i + 1] == 'U')) {
      const std::size_t digits = line[i + 1] == 'u' ? 4 : 8;
      if (!hexadecimal(line.substr(i + 2), digits, code) || code > 0x10FFFF) return false;
      i += 1 + digits;
    }
    append_utf8(text, code);
  }
  return true;
}

/// A string of Python 2 in protocol 0, as Python displays it: in quotes, with escapes. False if it is none.
bool unescape_quoted(std::string_view line, std::string& text) {
  if (line.size() < 2 || (line.front() != '\'' && line.front() != '"') || line.back() != line.front()) return false;
  line = line.substr(1, line.size() - 2);
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    if (++i == line.size()) return false;
    constexpr std::string_view kEscapes = "\\'\"ntr", kMeanings = "\\'\"\n\t\r";
    const std::size_t known = kEscapes.find(line[i]);
    std::uint32_t code = 0;
    if (known != std::string_view::npos) {
      text += kMeanings[known];
    } else if (line[i] == 'x' && hexadecimal(line.substr(i + 1), 2, code)) {
      text += static_cast<char>(code);
      i += 2;
    } else {
      return false;
    }
  }
  return true;
}

/// The integer of an element's bytes.
std::int64_t integer_of(const IntegerType& type, const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < type.bytes; ++i) {
    value = value << 8 | bytes[type.big_endian ? i : type.bytes - 1 - i];
  }
  if (type.is_signed && type.bytes < 8 && (value >> (8 * type.bytes - 1) & 1) != 0) {
    value |= ~std::uint64_t{0} << (8 * type.bytes);
  }
  return static_cast<std::int64_t>(value);
}

class Machine {
 public:
  Machine(std::span<const std::uint8_t> bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  PickledDict run();

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}: not one of CIFAR's Python files: at byte {}: {}", name_, at_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  // Read from the stream.
  std::span<const std::uint8_t> take(std::size_t count);
  std::uint64_t number(std::size_t count);  // unsigned, little-endian
  std::string_view line();
  Text text(std::size_t count);
  std::int64_t decimal(std::string_view digits) const;
  std::int64_t long_integer(std::uint64_t count);  // little-endian, in two's complement
  void charge(std::size_t bytes);                  // before bytes are made that are not in the file

  // Operate on the stack.
  void push(Value value) { stack_.push_back(std::move(value)); }
  Value pop();
  std::vector<Value> pop_to_mark();
  template <typename T>
  T pop_as(const char* what);
  template <typename T>
  T as(const Value& value, const char* what) const;
  Value& top();

  // Execute instructions.
  bool step();  // false after STOP
  bool push_constant(std::uint8_t instruction);
  bool push_line(std::uint8_t instruction);
  bool use_memo(std::uint8_t instruction);
  bool collect(std::uint8_t instruction);
  void append(std::span<const Value> values);
  void set_items(std::span<const Value> values);
  void push_tuple(std::vector<Value> values);
  template <typename T>
  std::shared_ptr<T> make_container();  // an empty list, dictionary or array
  void push_global(std::string_view module, std::string_view name);
  void reduce();
  Type integer_type(const std::vector<Value>& given) const;
  void build();
  void build_array(PickledArray& array, const std::vector<Value>& state);
  void fill_array(PickledArray& array, const Value& shape, const Value& type, bool column_major, const Value& content);

  std::span<const std::uint8_t> bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::vector<Value> stack_;
  std::map<std::uint64_t, Value> memo_;  // no hash table, whose collisions a file could choose
  std::int64_t instructions_ = 0;
  std::int64_t containers_ = 0;
  std::size_t charged_ = 0;
};

std::span<const std::uint8_t> Machine::take(std::size_t count) {
  if (count > bytes_.size() - at_)
    refuse("it is cut short: {} more bytes expected, {} left", count, bytes_.size() - at_);
  const auto piece = bytes_.subspan(at_, count);
  at_ += count;
  return piece;
}

std::uint64_t Machine::number(std::size_t count) {
  std::uint64_t value = 0;
  const auto piece = take(count);
  for (std::size_t i = count; i-- > 0;) value = value << 8 | piece[i];
  return value;
}

std::string_view Machine::line() {
  const auto rest = bytes_.subspan(at_);
  const auto length = static_cast<std::size_t>(std::find(rest.begin(), rest.end(), '\n') - rest.begin());
  take(length + 1);
  return {reinterpret_cast<const char*>(rest.data()), length};
}

std::int64_t Machine::decimal(std::string_view digits) const {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    refuse("expected an integer of at most 64 bits, got '{}'", shown(digits));
  }
  return value;
}

std::int64_t Machine::long_integer(std::uint64_t count) {
  if (count > 8) refuse("expected an integer of at most 64 bits, got one of {} bytes", count);
  if (count == 0) return 0;
  const auto piece = take(static_cast<std::size_t>(count));
  return integer_of({piece.size(), true, false}, piece.data());
}

void Machine::charge(std::size_t bytes) {
  charged_ += bytes;
  // Protocol 0 needs three times the file's size: an array's bytes as UTF-8, and decoded.
  if (charged_ > 4 * bytes_.size() + 4096) refuse("its values are made of others again and again, and grow too large");
}

Text Machine::text(std::size_t count) {
  const auto piece = take(count);
  return std::make_shared<const std::string>(reinterpret_cast<const char*>(piece.data()), piece.size());
}

Value Machine::pop() {
  Value value = std::move(top());
  stack_.pop_back();
  return value;
}

Value& Machine::top() {
  if (stack_.empty()) refuse("an instruction finds nothing to work on");
  return stack_.back();
}

std::vector<Value> Machine::pop_to_mark() {
  std::size_t mark = stack_.size();
  while (mark > 0 && !std::holds_alternative<Mark>(stack_[mark - 1])) --mark;
  if (mark == 0) refuse("an instruction finds no beginning of its values");
  std::vector<Value> values(std::make_move_iterator(stack_.begin() + static_cast<std::ptrdiff_t>(mark)),
                            std::make_move_iterator(stack_.end()));
  stack_.resize(mark - 1);
  return values;
}

template <typename T>
T Machine::as(const Value& value, const char* what) const {
  if (const T* wanted = std::get_if<T>(&value)) return *wanted;
  refuse("expected {}, got something else", what);
}

template <typename T>
T Machine::pop_as(const char* what) {
  return as<T>(pop(), what);
}

template <typename T>
std::shared_ptr<T> Machine::make_container() {
  if (++containers_ > kMaxContainers) refuse("it has more than {} lists, dictionaries and arrays", kMaxContainers);
  return std::make_shared<T>();
}

PickledDict Machine::run() {
  while (step()) {
  }
  if (at_ != bytes_.size()) refuse("it has {} bytes after its end", bytes_.size() - at_);
  const Dict dict = pop_as<Dict>("a dictionary as its content");
  if (!stack_.empty()) refuse("it leaves {} values over", stack_.size());
  return *dict;
}

bool Machine::step() {
  const auto instruction = static_cast<std::uint8_t>(number(1));
  if (++instructions_ > kMaxInstructions) refuse("it has more than {} instructions", kMaxInstructions);
  if (instruction == '.') return false;
  if (instruction == 0x80) {  // PROTO
    const std::uint64_t protocol = number(1);
    if (protocol > 5) refuse("it is of pickle protocol {}, expected 0 to 5", protocol);
  } else if (instruction == 0x95) {  // FRAME: a hint for stream readers
    number(8);
  } else if (!push_constant(instruction) && !push_line(instruction) && !use_memo(instruction) &&
             !collect(instruction)) {
    refuse("instruction {:#04x} is none that these files need, and is not followed", instruction);
  }
  return true;
}

/// Instructions that contain their value.
bool Machine::push_constant(std::uint8_t instruction) {
  switch (instruction) {
    case 'N': push(PickledNone{}); return true;
    case 0x88: push(true); return true;
    case 0x89: push(false); return true;
    case 'K': push(static_cast<std::int64_t>(number(1))); return true;
    case 'M': push(static_cast<std::int64_t>(number(2))); return true;
    case 'J': push(std::int64_t{static_cast<std::int32_t>(static_cast<std::uint32_t>(number(4)))}); return true;
    case 'U':  // strings of Python 2, bytes and text of Python 3: all are bytes here
    case 'C':
    case 0x8C: push(text(number(1))); return true;
    case 'T':
    case 'B':
    case 'X': push(text(number(4))); return true;
    case 0x8D:
    case 0x8E:
    case 0x96: push(text(number(8))); return true;  // a bytearray is read like bytes
    case 0x8A: push(long_integer(number(1))); return true;
    case 0x8B: push(long_integer(number(4))); return true;
    case '}': push(make_container<PickledDict>()); return true;
    case ']': push(make_container<PickledList>()); return true;
    case ')': push_tuple({}); return true;
    case '(': push(Mark{}); return true;
    default: return false;
  }
}

/// Instructions whose value is the rest of the line; protocol 0 has only these.
bool Machine::push_line(std::uint8_t instruction) {
  const auto push_text = [&](bool (*unescape)(std::string_view, std::string&)) {
    auto content = std::make_shared<std::string>();
    if (!unescape(line(), *content)) refuse("a string's escapes or quotes are wrong");
    push(Text(std::move(content)));
  };
  switch (instruction) {
    case 'I': {
      const std::string_view digits = line();
      if (digits == "00" || digits == "01") {
        push(digits == "01");
      } else {
        push(decimal(digits));
      }
      return true;
    }
    case 'L': {
      const std::string_view digits = line();
      push(decimal(digits.ends_with('L') ? digits.substr(0, digits.size() - 1) : digits));
      return true;
    }
    case 'V': push_text(unescape_unicode); return true;
    case 'S': push_text(unescape_quoted); return true;
    case 'c': {
      const std::string_view module = line();
      push_global(module, line());
      return true;
    }
    default: return false;
  }
}

/// Instructions that store the top of the stack in the memo, or push a stored value.
bool Machine::use_memo(std::uint8_t instruction) {
  const auto recall = [&](std::uint64_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) refuse("it refers to value {}, which it has not defined", slot);
    push(found->second);
  };
  switch (instruction) {
    case 'p': memo_[static_cast<std::uint64_t>(decimal(line()))] = top(); return true;
    case 'g': recall(static_cast<std::uint64_t>(decimal(line()))); return true;
    case 'q': memo_[number(1)] = top(); return true;
    case 'r': memo_[number(4)] = top(); return true;
    case 0x94: memo_[memo_.size()] = top(); return true;
    case 'h': recall(number(1)); return true;
    case 'j': recall(number(4)); return true;
    default: return false;
  }
}

/// Instructions that combine several values into one.
bool Machine::collect(std::uint8_t instruction) {
  switch (instruction) {
    case 'a': {
      const Value value = pop();
      append({&value, 1});
      return true;
    }
    case 'e': append(pop_to_mark()); return true;
    case 's': {
      Value value = pop();
      const std::vector<Value> item{pop(), std::move(value)};
      set_items(item);
      return true;
    }
    case 'u': set_items(pop_to_mark()); return true;
    case 't': push_tuple(pop_to_mark()); return true;
    case 'l': {
      const std::vector<Value> values = pop_to_mark();
      push(make_container<PickledList>());
      append(values);
      return true;
    }
    case 'd': {
      const std::vector<Value> values = pop_to_mark();
      push(make_container<PickledDict>());
      set_items(values);
      return true;
    }
    case 0x85:
    case 0x86:
    case 0x87: {
      std::vector<Value> values(static_cast<std::size_t>(instruction - 0x84));
      for (std::size_t i = values.size(); i-- > 0;) values[i] = pop();
      push_tuple(std::move(values));
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const Text name = pop_as<Text>("a name");
      const Text module = pop_as<Text>("a module's name");
      push_global(*module, *name);
      return true;
    }
    case 'R': reduce(); return true;
    case 'b': build(); return true;
    default: return false;
  }
}

/// The scalar in a value; false if it has none.
bool scalar_of(const Value& value, PickledScalar& scalar) {
  if (const auto* text = std::get_if<Text>(&value)) {
    scalar = *text;
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    scalar = *number;
  } else if (const auto* truth = std::get_if<bool>(&value)) {
    scalar = *truth;
  } else if (std::holds_alternative<PickledNone>(value)) {
    scalar = PickledNone{};
  } else {
    return false;
  }
  return true;
}

void Machine::append(std::span<const Value> values) {
  const List list = as<List>(top(), "a list to append to");
  for (const Value& value : values) {
    PickledScalar scalar;
    if (!scalar_of(value, scalar)) refuse("expected a list of numbers or strings, got something else in it");
    list->push_back(std::move(scalar));
  }
}

void Machine::set_items(std::span<const Value> values) {
  const Dict dict = as<Dict>(top(), "a dictionary to set items of");
  if (values.size() % 2 != 0) refuse("a dictionary's last key has no value");
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const Text key = as<Text>(values[i], "a string as a dictionary's key");
    charge(key->size());
    PickledEntry entry;
    PickledScalar scalar;
    if (const auto* list = std::get_if<List>(&values[i + 1])) {
      entry = std::shared_ptr<const PickledList>(*list);
    } else if (const auto* array = std::get_if<Array>(&values[i + 1])) {
      entry = std::shared_ptr<const PickledArray>(*array);
    } else if (const auto* tuple = std::get_if<Tuple>(&values[i + 1])) {
      charge((*tuple)->values.size());
      auto content = std::make_shared<PickledList>();
      for (const Value& value : (*tuple)->values) {
        if (!scalar_of(value, content->emplace_back()))
          refuse("the entry '{}' is a tuple of other values", shown(*key));
      }
      entry = std::shared_ptr<const PickledList>(std::move(content));
    } else if (scalar_of(values[i + 1], scalar)) {
      entry = std::move(scalar);
    } else {
      refuse("the entry '{}' is neither a number, a string, a list of those nor an array of integers", shown(*key));
    }
    if (!dict->emplace(*key, std::move(entry)).second) refuse("the entry '{}' occurs twice", shown(*key));
  }
}

void Machine::push_tuple(std::vector<Value> values) {
  std::size_t depth = 1;
  for (const Value& value : values) {
    if (const auto* inner = std::get_if<Tuple>(&value)) depth = std::max(depth, (*inner)->depth + 1);
    if (depth > kMaxTupleDepth || std::holds_alternative<List>(value) || std::holds_alternative<Dict>(value)) {
      refuse("a tuple holds more than an array's description does");
    }
  }
  push(std::make_shared<const TupleOf>(TupleOf{std::move(values), depth}));
}

/// Names of numpy before 2.0 and since, and the names by which Python 3 encodes bytes. Nothing is looked up or called.
void Machine::push_global(std::string_view module, std::string_view name) {
  constexpr std::string_view kKnown[] = {"numpy.core.multiarray._reconstruct",
                                         "numpy.core.multiarray.scalar",
                                         "numpy.core.numeric._frombuffer",
                                         "numpy.ndarray",
                                         "numpy.dtype",
                                         "_codecs.encode",
                                         "builtins.bytes"};
  std::string full = std::string(module.substr(0, kMaxNameLength)) + "." + std::string(name.substr(0, kMaxNameLength));
  constexpr std::string_view kNew = "numpy._core.", kPython2 = "__builtin__.";
  if (full.starts_with(kNew)) full.replace(0, kNew.size(), "numpy.core.");
  if (full.starts_with(kPython2)) full.replace(0, kPython2.size(), "builtins.");
  if (std::find(std::begin(kKnown), std::end(kKnown), full) == std::end(kKnown)) {
    refuse("it wants to use Python's {}.{}, which no file of CIFAR does; nothing was run", shown(module), shown(name));
  }
  push(Global{std::move(full)});
}

/// Whether argument `index` is one of the strings.
bool is_text(const std::vector<Value>& given, std::size_t index, std::initializer_list<std::string_view> strings) {
  const auto* text = index < given.size() ? std::get_if<Text>(&given[index]) : nullptr;
  return text != nullptr && std::find(strings.begin(), strings.end(), **text) != strings.end();
}

/// A call: pushes the result of one of the known functions.
void Machine::reduce() {
  const Tuple arguments = pop_as<Tuple>("a tuple of arguments");
  const std::string callee = pop_as<Global>("one of numpy's functions").name;
  const std::vector<Value>& given = arguments->values;
  if (callee == "numpy.core.multiarray._reconstruct") {
    const auto* type = given.size() == 3 ? std::get_if<Global>(&given[0]) : nullptr;
    if (type == nullptr || type->name != "numpy.ndarray") refuse("expected a numpy.ndarray to be made");
    push(make_container<PickledArray>());
  } else if (callee == "numpy.core.numeric._frombuffer") {
    if (given.size() != 4 || !is_text(given, 3, {"C", "F"}))
      refuse("expected bytes, type, shape and order of an array");
    auto array = make_container<PickledArray>();
    fill_array(*array, given[2], given[1], is_text(given, 3, {"F"}), given[0]);
    push(std::move(array));
  } else if (callee == "numpy.core.multiarray.scalar") {
    if (given.size() != 2) refuse("expected type and bytes of a numpy integer");
    const Type type = as<Type>(given[0], "the type of a numpy integer");
    const Text content = as<Text>(given[1], "the bytes of a numpy integer");
    if (content->size() != type->bytes) refuse("expected {} bytes of a numpy integer", type->bytes);
    push(integer_of(*type, reinterpret_cast<const std::uint8_t*>(content->data())));
  } else if (callee == "numpy.dtype") {
    push(integer_type(given));
  } else if (callee == "_codecs.encode") {
    const auto* text = given.size() == 2 ? std::get_if<Text>(&given[0]) : nullptr;
    if (text != nullptr) charge((*text)->size());
    std::string bytes;
    if (text == nullptr || !is_text(given, 1, {"latin1", "latin-1"}) || !latin1_bytes(**text, bytes)) {
      refuse("expected bytes written as Latin-1 text");
    }
    push(std::make_shared<const std::string>(std::move(bytes)));
  } else if (callee == "builtins.bytes" && given.empty()) {
    push(std::make_shared<const std::string>());
  } else {
    refuse("{} is not called in any file of CIFAR; nothing was run", callee);
  }
}

/// The type by its name, such as "u1", "<i8" or "uint8".
Type Machine::integer_type(const std::vector<Value>& given) const {
  const auto* text = given.empty() ? nullptr : std::get_if<Text>(&given[0]);
  std::string_view name = text == nullptr ? std::string_view() : std::string_view(**text);
  IntegerType type;
  if (name.starts_with('|') || name.starts_with('<') || name.starts_with('>') || name.starts_with('=')) {
    type.big_endian = name.front() == '>';
    name.remove_prefix(1);
  }
  if (name == "uint8") name = "u1";
  const bool known = name.size() == 2 && (name[0] == 'u' || name[0] == 'i') &&
                     (name[1] == '1' || name[1] == '2' || name[1] == '4' || name[1] == '8');
  if (!known) refuse("expected an array of integers, such as unsigned bytes (u1), got the type '{}'", shown(name));
  type.is_signed = name[0] == 'i';
  type.bytes = static_cast<std::size_t>(name[1] - '0');
  return std::make_shared<IntegerType>(type);
}

/// Sets the state of an array or of its type.
void Machine::build() {
  const Tuple state = pop_as<Tuple>("a tuple of state");
  Value& target = top();
  if (const auto* type = std::get_if<Type>(&target)) {
    (*type)->big_endian = is_text(state->values, 1, {">"});
    return;
  }
  const Array array = as<Array>(target, "an array or its type to set the state of");
  build_array(*array, state->values);
}

void Machine::build_array(PickledArray& array, const std::vector<Value>& state) {
  if (state.size() != 5) refuse("expected 5 values for an array's state, got {}", state.size());
  if (!array.shape.empty()) refuse("an array's state is set twice");
  fill_array(array, state[1], state[2], as<bool>(state[3], "true or false for an array's order"), state[4]);
}

void Machine::fill_array(PickledArray& array, const Value& shape, const Value& type, bool column_major,
                         const Value& content) {
  const Text bytes = as<Text>(content, "an array's bytes");
  array.type = *as<Type>(type, "an array's type");
  std::uint64_t expected = array.type.bytes;
  for (const Value& side : as<Tuple>(shape, "an array's shape")->values) {
    const auto length = as<std::int64_t>(side, "a number as a side of an array");
    if (length < 0 || length > (std::int64_t{1} << 29) || array.shape.size() == 2) {
      refuse("expected an array of one or two sides, each of at most 2^29");
    }
    array.shape.push_back(length);
    expected *= static_cast<std::uint64_t>(length);
  }
  if (array.shape.empty() || expected != bytes->size()) {
    refuse("expected an array of {} bytes as its shape says, got {}", expected, bytes->size());
  }
  charge(bytes->size());
  array.bytes.assign(bytes->begin(), bytes->end());
  if (column_major && array.shape.size() == 2) {
    const auto rows = static_cast<std::size_t>(array.shape[0]), columns = static_cast<std::size_t>(array.shape[1]);
    const std::size_t size = array.type.bytes;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>((c * rows + r) * size), size,
                    array.bytes.begin() + static_cast<std::ptrdiff_t>((r * columns + c) * size));
      }
    }
  }
}

}  // namespace

std::int64_t PickledArray::at(std::size_t index) const { return integer_of(type, bytes.data() + index * type.bytes); }

PickledDict read_pickle(std::span<const std::uint8_t> bytes, const std::string& name) {
  return Machine(bytes, name).run();
}

}  // namespace gradamp
