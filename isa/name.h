// The name of a value: text in 16 bytes, or behind a pointer where it is longer than 14 bytes.
// Modules hold one for every value. Plain text: copied and compared as such.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace tess {

class Name {
 public:
  Name() = default;
  Name(std::string_view text) { assign(text); }
  Name(const std::string& text) { assign(text); }
  Name(const char* text) { assign(text); }
  Name(const Name& other) { copy(other); }
  Name(Name&& other) noexcept { swap(other); }
  Name& operator=(Name other) noexcept { return swap(other), *this; }
  ~Name() {
    if (is_long()) [[unlikely]]
      delete[] pointer();
  }

  bool empty() const { return !is_long() && room_[0] == 0; }
  const char* c_str() const { return is_long() ? pointer() : room_; }
  size_t size() const { return std::strlen(c_str()); }
  operator std::string_view() const { return c_str(); }
  operator std::string() const { return c_str(); }

  friend bool operator==(const Name& a, std::string_view b) { return std::string_view(a) == b; }
  friend bool operator==(const Name& a, const char* b) { return std::string_view(a) == b; }
  friend bool operator==(const Name& a, const Name& b) { return a == std::string_view(b); }
  friend std::string operator+(std::string_view a, const Name& b) {
    return std::string(a).append(b.c_str());
  }
  friend std::string operator+(const Name& a, std::string_view b) {
    return std::string(a.c_str()).append(b);
  }

 private:
  static constexpr size_t kInside = 14;

  bool is_long() const { return room_[kInside + 1] != 0; }
  const char* pointer() const {
    const char* p;
    std::memcpy(&p, room_, sizeof p);
    return p;
  }
  void swap(Name& other) noexcept { std::swap(room_, other.room_); }
  void copy(const Name& other) {
    if (other.is_long()) assign(other);
    else std::memcpy(room_, other.room_, sizeof room_);
  }
  // Of a text with a zero byte, what stands before it.
  void assign(std::string_view text) {
    text = text.substr(0, text.find('\0'));
    char* to = room_;
    if (text.size() > kInside) {
      to = new char[text.size() + 1];
      std::memcpy(room_, &to, sizeof to);
      room_[kInside + 1] = 1;
    }
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    to[text.size()] = 0;
  }

  alignas(void*) char room_[16] = {};
};
static_assert(sizeof(Name) == 16);

}  // namespace tess
