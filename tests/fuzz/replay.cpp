// Feeds files to a fuzz target: the seeds of corpus/<name>/, the project's own programs and data,
// and cheap mutations of each (truncations, bit flips). usage: <name>_replay ROOT NAME
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

Bytes read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> out;
  std::error_code none;
  for (auto it = std::filesystem::recursive_directory_iterator(folder, none);
       it != std::filesystem::recursive_directory_iterator(); ++it)
    if (it->is_regular_file() && it->file_size() < (1 << 16)) out.push_back(it->path());
  std::sort(out.begin(), out.end());
  return out;
}

// The input at hand when the target crashes is kept, as libFuzzer does.
const Bytes* at_hand = nullptr;
void keep_input(int number) {
  int fd = open("crash-input", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd >= 0 && at_hand && write(fd, at_hand->data(), at_hand->size()) >= 0) close(fd);
  constexpr char kSaid[] = "crashed; the input is in ./crash-input\n0 passed, 1 failed\n";
  if (write(1, kSaid, sizeof kSaid - 1) < 0) _exit(2);
  _exit(128 + number);
}

int64_t runs = 0;
void feed(const Bytes& bytes) {
  // At the very end of an allocation of its own, so that a sanitizer sees every byte read past it.
  Bytes exact(bytes.begin(), bytes.end());
  exact.shrink_to_fit();
  at_hand = &exact;
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  ++runs;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  for (int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) signal(number, keep_input);
  std::filesystem::path root = argv[1];
  std::string name = argv[2];
  std::vector<std::filesystem::path> files = files_below(root / "tests/fuzz/corpus" / name);
  for (const char* folder :
       {"samples", "stdlib", "tests/bad", "tests/golden", "tests/compat", "tests/data"})
    if (name == "data" ? std::string(folder) == "tests/data" : std::string(folder) != "tests/data")
      for (const auto& f : files_below(root / folder)) files.push_back(f);
  std::mt19937 random(1);
  feed({});
  for (const auto& file : files) {
    Bytes bytes = read(file);
    feed(bytes);
    for (int i = 0; i < 8 && !bytes.empty(); ++i) {
      Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(random() % bytes.size()));
      feed(cut);
      Bytes flipped = bytes;
      flipped[random() % flipped.size()] ^= static_cast<uint8_t>(1u << random() % 8);
      feed(flipped);
    }
  }
  printf("%lld inputs survived\n", static_cast<long long>(runs));
  printf("%zu passed, 0 failed\n", files.size() + 1);
  return 0;
}
