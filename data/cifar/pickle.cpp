// SPDX-License-Identifier: MIT
// Python's Lib/pickletools.py documents the instructions.
#include "gradamp/data/cifar/pickle.h"

#include <cstring>
#include <unordered_map>
#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

/// The values on the machine's stack. Lists and dictionaries contain no lists or dictionaries that could contain them
/// in turn, so no value refers to itself.
struct Mark {};
struct Global {
  std::string name;  // "module.name"; only compared
};
struct ByteType {};  // numpy.dtype('u1')
struct Value;
using Text = std::shared_ptr<const std::string>;
using Tuple = std::shared_ptr<const std::vector<Value>>;
using List = std::shared_ptr<PickledList>;
using Array = std::shared_ptr<PickledArray>;
using Dict = std::shared_ptr<PickledDict>;
struct Value : std::variant<PickledNone, bool, std::int64_t, Text, Tuple, List, Array, Dict, Mark, Global, ByteType> {
  using variant::variant;
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
  std::string line();
  Text text(std::size_t count);

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
  bool use_memo(std::uint8_t instruction);
  bool collect(std::uint8_t instruction);
  void append(std::span<const Value> values);
  void set_items(std::span<const Value> values);
  void push_tuple(std::vector<Value> values);
  void push_global(std::string module, const std::string& name);
  void reduce();
  void build();
  void build_array(PickledArray& array, const std::vector<Value>& state);

  std::span<const std::uint8_t> bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::vector<Value> stack_;
  std::unordered_map<std::uint64_t, Value> memo_;
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

std::string Machine::line() {
  std::string line;
  for (;;) {
    const auto byte = static_cast<char>(number(1));
    if (byte == '\n') return line;
    line += byte;
  }
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
  if (instruction == '.') return false;
  if (instruction == 0x80) {  // PROTO
    const std::uint64_t protocol = number(1);
    if (protocol < 2 || protocol > 4) refuse("it is of pickle protocol {}, expected 2 to 4", protocol);
  } else if (instruction == 0x95) {  // FRAME: a hint for stream readers
    number(8);
  } else if (!push_constant(instruction) && !use_memo(instruction) && !collect(instruction)) {
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
    case '}': push(std::make_shared<PickledDict>()); return true;
    case ']': push(std::make_shared<PickledList>()); return true;
    case ')': push_tuple({}); return true;
    case '(': push(Mark{}); return true;
    case 'c': {
      std::string module = line();
      push_global(std::move(module), line());
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
      push_global(*pop_as<Text>("a module's name"), *name);
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
    scalar = **text;
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
    PickledEntry entry;
    PickledScalar scalar;
    if (const auto* list = std::get_if<List>(&values[i + 1])) {
      entry = std::shared_ptr<const PickledList>(*list);
    } else if (const auto* array = std::get_if<Array>(&values[i + 1])) {
      entry = std::shared_ptr<const PickledArray>(*array);
    } else if (scalar_of(values[i + 1], scalar)) {
      entry = std::move(scalar);
    } else {
      refuse("the entry '{}' is neither a number, a string, a list of those nor an array of bytes", *key);
    }
    if (!dict->emplace(*key, std::move(entry)).second) refuse("the entry '{}' occurs twice", *key);
  }
}

void Machine::push_tuple(std::vector<Value> values) {
  for (const Value& value : values) {
    // Descriptions of arrays have one level of tuples: (1, (10000, 3072), type, False, bytes).
    const auto* inner = std::get_if<Tuple>(&value);
    const bool deep = inner != nullptr && [&] {
      for (const Value& part : **inner) {
        if (std::holds_alternative<Tuple>(part)) return true;
      }
      return false;
    }();
    if (deep || std::holds_alternative<List>(value) || std::holds_alternative<Dict>(value)) {
      refuse("a tuple holds more than an array's description does");
    }
  }
  push(std::make_shared<const std::vector<Value>>(std::move(values)));
}

/// Names of numpy before 2.0 and since, and the name by which Python 3 encodes bytes. Nothing is looked up or called.
void Machine::push_global(std::string module, const std::string& name) {
  if (module == "numpy._core.multiarray") module = "numpy.core.multiarray";
  const std::string full = module + "." + name;
  if (full != "numpy.core.multiarray._reconstruct" && full != "numpy.ndarray" && full != "numpy.dtype" &&
      full != "_codecs.encode") {
    refuse("it wants to use Python's {}, which no file of CIFAR does; nothing was run", full);
  }
  push(Global{full});
}

/// A call: pushes the result of one of the three known functions.
void Machine::reduce() {
  const Tuple arguments = pop_as<Tuple>("a tuple of arguments");
  const std::string callee = pop_as<Global>("one of numpy's functions").name;
  const auto& given = *arguments;
  const auto is_text = [&](std::size_t i, std::initializer_list<const char*> wanted) {
    const auto* text = i < given.size() ? std::get_if<Text>(&given[i]) : nullptr;
    for (const char* one : wanted) {
      if (text != nullptr && **text == one) return true;
    }
    return false;
  };
  if (callee == "numpy.core.multiarray._reconstruct") {
    const auto* type = given.size() == 3 ? std::get_if<Global>(&given[0]) : nullptr;
    if (type == nullptr || type->name != "numpy.ndarray") refuse("expected a numpy.ndarray to be made");
    push(std::make_shared<PickledArray>());
  } else if (callee == "numpy.dtype") {
    if (!is_text(0, {"u1", "|u1", "uint8"})) refuse("expected an array of unsigned bytes (u1), got another type");
    push(ByteType{});
  } else if (callee == "_codecs.encode") {
    const auto* text = given.size() == 2 ? std::get_if<Text>(&given[0]) : nullptr;
    std::string bytes;
    if (text == nullptr || !is_text(1, {"latin1", "latin-1"}) || !latin1_bytes(**text, bytes)) {
      refuse("expected bytes written as Latin-1 text");
    }
    push(std::make_shared<const std::string>(std::move(bytes)));
  } else {
    refuse("{} is not called in any file of CIFAR; nothing was run", callee);
  }
}

/// Sets the state of an array or of its type.
void Machine::build() {
  const Tuple state = pop_as<Tuple>("a tuple of state");
  Value& target = top();
  if (std::holds_alternative<ByteType>(target)) return;  // byte order and fields, which do not matter for bytes
  const Array array = as<Array>(target, "an array or its type to set the state of");
  build_array(*array, *state);
}

void Machine::build_array(PickledArray& array, const std::vector<Value>& state) {
  if (state.size() != 5) refuse("expected 5 values for an array's state, got {}", state.size());
  if (!array.shape.empty()) refuse("an array's state is set twice");
  if (!std::holds_alternative<ByteType>(state[2])) refuse("expected an array of unsigned bytes (u1)");
  const bool column_major = as<bool>(state[3], "true or false for an array's order");
  const Text content = as<Text>(state[4], "an array's bytes");
  std::uint64_t elements = 1;
  for (const Value& side : *as<Tuple>(state[1], "an array's shape")) {
    const auto length = as<std::int64_t>(side, "a number as a side of an array");
    if (length < 0 || length > (std::int64_t{1} << 31) || array.shape.size() == 2) {
      refuse("expected an array of one or two sides, each of at most 2^31");
    }
    array.shape.push_back(length);
    elements *= static_cast<std::uint64_t>(length);
  }
  if (array.shape.empty() || elements != content->size()) {
    refuse("expected an array of {} bytes as its shape says, got {}", elements, content->size());
  }
  array.bytes.assign(content->begin(), content->end());
  if (column_major && array.shape.size() == 2) {
    const auto rows = static_cast<std::size_t>(array.shape[0]), columns = static_cast<std::size_t>(array.shape[1]);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        array.bytes[r * columns + c] = static_cast<std::uint8_t>((*content)[c * rows + r]);
      }
    }
  }
}

}  // namespace

PickledDict read_pickle(std::span<const std::uint8_t> bytes, const std::string& name) {
  return Machine(bytes, name).run();
}

}  // namespace gradamp
