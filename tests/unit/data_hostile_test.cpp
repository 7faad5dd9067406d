// Files that only damage or malice writes: an error or a valid tensor, never a crash, a hang or an
// allocation beyond the stated bound.
#include <sys/resource.h>
#include <zlib.h>

#include <functional>

#include "data_files.h"
#include "data_test.h"
#include "isa/diag/data.h"
#include "vm/data/gguf.h"
#include "vm/data/listing.h"
#include "vm/data/npy.h"
#include "vm/data/npz.h"
#include "vm/data/safetensors.h"

using namespace tess;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

namespace {

// While it lives, the process cannot map more than `bytes` beyond what it has: an oversized
// allocation fails, and operator new's failure ends the test. (Sanitizers reserve address space of
// their own; they bound a single allocation by max_allocation_size_mb instead.)
struct MemoryLimit {
  rlimit before{};
  explicit MemoryLimit(uint64_t bytes) {
    if (kSanitized) return;
    std::ifstream in("/proc/self/statm");
    uint64_t pages = 0;
    in >> pages;
    REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
    rlimit now = before;
    now.rlim_cur = pages * 4096 + bytes;
    REQUIRE(::setrlimit(RLIMIT_AS, &now) == 0);
  }
  ~MemoryLimit() {
    if (!kSanitized) ::setrlimit(RLIMIT_AS, &before);
  }
};

constexpr uint64_t kBound = 64 << 20;  // for files of a few kilobytes

// Reads everything that the file claims to hold; touches every byte of every tensor.
struct Outcome {
  bool valid = false;
  uint64_t sum = 0;
};
void touch(const HostTensor& t, Outcome& o) {
  REQUIRE(t.size_bytes == *dense_bytes(t.dtype, t.shape));
  for (uint64_t i = 0; i < t.size_bytes; ++i) o.sum += t.bytes[i];
  o.sum += format_tensor(t).size();
}
template <class T>
void expect_code(const Result<T>& r) {
  auto code = static_cast<int>(r.error().code);
  CHECK_MESSAGE((code >= 700 && code < 800), r.error().message);
  CHECK(r.error().message.find("not enough memory") == std::string::npos);
  CHECK(!r.error().message.empty());
}
Outcome read_all(const Blob& blob, FileFormat format) {
  Outcome o;
  auto listing = list_blob(blob);
  if (listing) o.sum += listing_text(*listing).size() + listing_json(*listing).size();
  else expect_code(listing);
  auto take = [&](const Result<HostTensor>& t) {
    if (t) touch(*t, o);
    else expect_code(t);
    o.valid |= static_cast<bool>(t);
  };
  if (format == FileFormat::npy) take(read_npy(blob));
  if (format == FileFormat::npz) {
    auto entries = read_zip_directory(blob);
    if (!entries) return expect_code(entries), o;
    for (const ZipEntry& e : *entries) take(read_npz(blob, e.name));
  }
  if (format == FileFormat::safetensors) {
    auto file = read_safetensors(blob);
    if (!file) return expect_code(file), o;
    for (const SafetensorsEntry& e : file->tensors) take(safetensors_tensor(blob, *file, e.name));
  }
  if (format == FileFormat::gguf) {
    auto file = read_gguf(blob);
    if (!file) return expect_code(file), o;
    for (const GgufTensor& t : file->tensors) take(gguf_tensor(blob, *file, t.name));
  }
  return o;
}

struct Sample {
  const char* name;
  FileFormat format;
  std::string bytes;
};
std::vector<Sample> samples() {
  std::string two =
      R"({"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("y":{"dtype":"BOOL","shape":[8],"data_offsets":[24,32]}})";
  return {{"npy", FileFormat::npy, read_bytes(data_path("numpy/f4.npy"))},
          {"npy, Fortran order", FileFormat::npy, read_bytes(data_path("numpy/fortran.npy"))},
          {"npy, big-endian", FileFormat::npy, read_bytes(data_path("numpy/big_i2.npy"))},
          {"npy, version 2", FileFormat::npy, read_bytes(data_path("numpy/version2.npy"))},
          {"npz, stored", FileFormat::npz, read_bytes(data_path("numpy/stored.npz"))},
          {"npz, deflated", FileFormat::npz, read_bytes(data_path("numpy/deflated.npz"))},
          {"safetensors", FileFormat::safetensors, safetensors_bytes(two, std::string(32, '\1'))},
          {"gguf", FileFormat::gguf, small_gguf(3)}};
}

std::string npy_of(const std::string& dictionary, const std::string& data = {}, int major = 1) {
  std::string s("\x93NUMPY");
  s += static_cast<char>(major);
  s += '\0';
  put(s, dictionary.size(), major == 1 ? 2 : 4);
  return s + dictionary + data;
}
std::string npy_error(const std::string& dictionary, const std::string& data = {}) {
  return error_of(read_npy(blob_of(npy_of(dictionary, data))));
}

// One zip entry as a hostile hand writes it.
struct ZipPart {
  std::string name, data;
  uint64_t method = 0, crc = 0, size = 0, header_offset = ~uint64_t{0};
  uint64_t flags = 0;
  std::string extra;
  std::string local_name;
};
std::string zip_of(const std::vector<ZipPart>& parts,
                   const std::function<void(std::string&)>& change_end = {}) {
  std::string s, central;
  for (const ZipPart& p : parts) {
    uint64_t at = s.size();
    std::string local = p.local_name.empty() ? p.name : p.local_name;
    put(s, 0x04034b50, 4);
    for (int i = 0; i < 11; ++i) put(s, 0, 2);
    put(s, local.size(), 2);
    put(s, 0, 2);
    s += local + p.data;
    put(central, 0x02014b50, 4);
    put(central, 20, 2);
    put(central, 20, 2);
    put(central, p.flags, 2);
    put(central, p.method, 2);
    put(central, 0, 4);
    put(central, p.crc, 4);
    put(central, p.data.size(), 4);
    put(central, p.size, 4);
    put(central, p.name.size(), 2);
    put(central, p.extra.size(), 2);
    put(central, 0, 2);
    put(central, 0, 8);
    put(central, p.header_offset == ~uint64_t{0} ? at : p.header_offset, 4);
    central += p.name + p.extra;
  }
  std::string end;
  put(end, 0x06054b50, 4);
  put(end, 0, 4);
  put(end, parts.size(), 2);
  put(end, parts.size(), 2);
  put(end, central.size(), 4);
  put(end, s.size(), 4);
  put(end, 0, 2);
  if (change_end) change_end(end);
  return s + central + end;
}
std::string zip_error(const std::string& bytes) {
  return error_of(read_zip_directory(blob_of(bytes)));
}

std::string deflate_raw(const std::string& text) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(text.size() + 100, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}
uint64_t crc_of(const std::string& s) {
  return crc32_z(0, reinterpret_cast<const Bytef*>(s.data()), s.size());
}

std::string gguf_error(const std::string& bytes) { return error_of(read_gguf(blob_of(bytes))); }
std::string st_error(std::string_view header, std::string_view data = {}) {
  return error_of(read_safetensors(blob_of(safetensors_bytes(std::string(header), data))));
}

}  // namespace

TEST_CASE("truncation at every byte") {
  for (const Sample& s : samples()) {
    CAPTURE(s.name);
    REQUIRE(read_all(blob_of(s.bytes), s.format).valid);
    MemoryLimit limit(kBound);
    int refused = 0;
    for (size_t n = 0; n < s.bytes.size(); ++n)
      refused += !read_all(blob_of(std::string_view(s.bytes).substr(0, n)), s.format).valid;
    // Only GGUF has bytes that carry nothing: the padding after its last tensor.
    CHECK(refused >= static_cast<int>(s.bytes.size()) - 64);
    if (s.format != FileFormat::gguf) CHECK(refused == static_cast<int>(s.bytes.size()));
  }
}

TEST_CASE("every single-bit flip") {
  uint64_t flips = 0, survived = 0;
  for (const Sample& s : samples()) {
    CAPTURE(s.name);
    MemoryLimit limit(kBound);
    std::string bytes = s.bytes;
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit, ++flips) {
      CAPTURE(bit);
      bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
      survived += read_all(blob_of(bytes), s.format).valid;
      bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
    }
  }
  MESSAGE(flips, " flips, ", survived, " still valid");
  CHECK(flips > 30000);
  CHECK(survived < flips);
}

TEST_CASE("counts and lengths of 2^32-1 and 2^64-1 at every place of a header") {
  MemoryLimit limit(kBound);
  for (const Sample& s : samples()) {
    CAPTURE(s.name);
    for (int width : {4, 8})
      for (size_t at = 0; at + width <= s.bytes.size(); ++at) {
        std::string bytes = s.bytes;
        for (int i = 0; i < width; ++i) bytes[at + i] = '\xff';
        read_all(blob_of(bytes), s.format);
      }
  }
}

TEST_CASE("npy headers") {
  MemoryLimit limit(kBound);
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
  CHECK(npy_error(good, std::string(8, 'x')) == "no error");
  CHECK(npy_error("{\"shape\":(2,),\"descr\":\"=f4\",\"fortran_order\":False}",
                  std::string(8, 'x')) == "no error");
  CHECK(npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (2L,)}",
                  std::string(8, 'x')) == "no error");
  CHECK(npy_error(good, std::string(7, 'x')) ==
        "E0703: test: f32[2] needs 8 bytes of data, but 7 follow the header");
  auto shape = [](const std::string& text) {
    return npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': " + text + "}");
  };
  CHECK(shape("(18446744073709551615,)") ==
        "E0703: test: 'shape' is not a tuple of at most 64 numbers that fit 63 bits");
  CHECK(shape("(9223372036854775807,)") ==
        "E0703: test: shape [9223372036854775807] has too many elements");
  CHECK(shape("(4294967295, 4294967295)") ==
        "E0703: test: shape [4294967295,4294967295] has too many elements");
  CHECK(shape("(-1,)") ==
        "E0703: test: 'shape' is not a tuple of at most 64 numbers that fit 63 bits");
  CHECK(shape("(3)") ==
        "E0703: test: 'shape' is not a tuple of at most 64 numbers that fit 63 bits");
  CHECK(
      shape("(1099511627776,)") ==
      "E0703: test: f32[1099511627776] needs 4398046511104 bytes of data, but 0 follow the header");
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1,";
  CHECK(shape(many + ")").starts_with("E0703"));
  auto descr = [](const std::string& text) {
    return npy_error("{'descr': " + text + ", 'fortran_order': False, 'shape': ()}",
                     std::string(32, 'x'));
  };
  CHECK(descr("'<f4'") == "no error");
  for (const char* bad : {"''", "'f4'", "'<'", "'?'", "4", "'<f4", "None", "'\\x3cf4'", "'<f-4'",
                          "'<f99999999999999999999'", "'<f\xff'"})
    CHECK_MESSAGE(descr(bad).starts_with("E0703"), bad);
  for (const char* bad : {"'|O'", "'|O8'", "'<f3'", "'<i16'", "'<c8'", "'|S4'", "'<U4'",
                          "'<M8[ns]'", "'|V0'", "'|V99999999'", "[('a', '<f4')]", "'<q8'"})
    CHECK_MESSAGE(descr(bad).starts_with("E0704"), bad);
  CHECK(npy_error("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}") ==
        "E0703: test: the header has an unknown or repeated key");
  CHECK(npy_error("{'descr': '<f4', 'shape': ()}") ==
        "E0703: test: the header lacks 'descr', 'fortran_order' or 'shape'");
  CHECK(npy_error("{'descr': '<f4' 'shape': ()}") ==
        "E0703: test: the header's dictionary lacks a comma");
  CHECK(npy_error("{}; import os") == "E0703: test: text follows the header's dictionary");
  CHECK(npy_error(std::string(60000, '(')) == "E0703: test: the header is not a dictionary");
  CHECK(npy_error("{'shape': " + std::string(60000, '(')) ==
        "E0703: test: 'shape' is not a tuple of at most 64 numbers that fit 63 bits");
  std::string bomb("\x93NUMPY\x02\0\xff\xff\xff\xff", 12);
  CHECK(error_of(read_npy(blob_of(bomb))) ==
        "E0703: test: a header of 4294967295 bytes; at most 65536 are read");
  std::string future = npy_of(good);
  future[6] = 9;
  CHECK(error_of(read_npy(blob_of(future))) ==
        "E0703: test: format version 9.0 is not 1.0, 2.0 or 3.0");
}

TEST_CASE("zip directories") {
  MemoryLimit limit(kBound);
  CHECK(zip_error(zip_of({{"a.npy", "12345", 0, 0, 5}})) == "no error");
  CHECK(zip_error("") == "E0705: test: it is too short for a zip archive");
  CHECK(zip_error(std::string(100000, 'P')) == "E0705: test: it has no zip directory");
  CHECK(zip_error(zip_of({{"a", "1", 0, 0, 1}, {"a", "2", 0, 0, 1}})) ==
        "E0705: test: entry \"a\": two entries have this name");
  CHECK(zip_error(zip_of({{"a", "123", 0, 0, 3}, {"b", "45", 0, 0, 2, 0}})) ==
        "E0705: test: entry \"b\": the directory calls it otherwise than its own header");
  CHECK(zip_error(zip_of({{"a", "1", 0, 0, 2}})) ==
        "E0705: test: entry \"a\": it is stored, but its two sizes differ");
  CHECK(zip_error(zip_of({{"a", "1", 12, 0, 1}})) ==
        "E0705: test: entry \"a\": compression method 12 is not supported");
  CHECK(zip_error(zip_of({{"a", "1", 0, 0, 1, ~uint64_t{0}, 1}})) ==
        "E0705: test: entry \"a\": it is encrypted");
  CHECK(zip_error(zip_of({{"a", "1", 0, 0, 1, 0xfffffffe}})) ==
        "E0705: test: entry \"a\": its header is not where the directory says");
  CHECK(zip_error(zip_of({{"a", "1", 8, 0, 4000000000}})) ==
        "E0705: test: entry \"a\": 1 bytes cannot expand to 4000000000");
  std::string zip64;
  put(zip64, 1, 2);
  put(zip64, 8, 2);
  put(zip64, ~uint64_t{0}, 8);
  CHECK(zip_error(zip_of({{"a", "1", 8, 0, 0xffffffff, ~uint64_t{0}, 0, zip64}})) ==
        "E0705: test: entry \"a\": 1 bytes cannot expand to 18446744073709551615");
  std::string cut_field;
  put(cut_field, 1, 2);
  put(cut_field, 4, 2);
  put(cut_field, 0, 4);
  CHECK(zip_error(zip_of({{"a", "1", 8, 0, 0xffffffff, ~uint64_t{0}, 0, cut_field}})) ==
        "E0705: test: entry \"a\": its zip64 field is damaged");
  auto end_with = [](size_t at, uint64_t value, int width) {
    return zip_error(zip_of({{"a", "1", 0, 0, 1}}, [=](std::string& end) {
      for (int i = 0; i < width; ++i) end[at + i] = static_cast<char>(value >> (8 * i));
    }));
  };
  CHECK(end_with(10, 0xffff, 2) == "E0705: test: the directory is too small for its entries");
  CHECK(end_with(12, 0xffffffff, 4) == "E0705: test: the directory lies outside the file");
  CHECK(end_with(16, 0xffffffff, 4) == "E0705: test: the directory lies outside the file");
  CHECK(end_with(4, 1, 2) == "E0705: test: archives of several disks are not supported");
  // Two names for one header: only their local names tell, so overlap needs equal ones.
  std::string quine = zip_of({{"a", "123", 0, 0, 3}, {"a", "", 0, 0, 0, 0}});
  CHECK(zip_error(quine) == "E0705: test: entry \"a\": two entries have this name");
  std::string inner("PK\x03\x04", 4);
  inner.resize(26, '\0');
  put(inner, 1, 2);
  put(inner, 0, 2);
  inner += "b";
  std::string overlapping =
      zip_of({{"a", inner + "xyz", 0, 0, inner.size() + 3}, {"b", "", 0, 0, 0, 31}});
  CHECK(zip_error(overlapping) == "E0705: test: two entries overlap");
}

TEST_CASE("zip contents: bombs, checksums, sizes") {
  std::string npy = npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000,)}",
                           std::string(1000000, '\0'));
  std::string small = deflate_raw(npy);
  auto read = [](ZipPart part) {
    part.name = "a.npy";
    part.method = 8;
    return error_of(read_npz(blob_of(zip_of({part})), "a"));
  };
  CHECK(small.size() < 1200);
  CHECK(read({.data = small, .crc = crc_of(npy), .size = npy.size()}) == "no error");
  MemoryLimit limit(kBound);
  CHECK(read({.data = small, .crc = crc_of(npy) ^ 1, .size = npy.size()}) ==
        "E0705: test: entry \"a.npy\": its checksum is wrong");
  for (uint64_t size : {npy.size() - 1, npy.size() + 1, uint64_t{0}, uint64_t{1}})
    CHECK(read({.data = small, .crc = crc_of(npy), .size = size}) ==
          "E0705: test: entry \"a.npy\": its compressed data is damaged");
  CHECK(read({.data = small + "x", .crc = crc_of(npy), .size = npy.size()}) ==
        "E0705: test: entry \"a.npy\": its compressed data is damaged");
  CHECK(read({.data = small.substr(0, 100), .crc = 0, .size = 100000}) ==
        "E0705: test: entry \"a.npy\": its compressed data is damaged");
  CHECK(read({.data = "", .crc = 0, .size = 0}) ==
        "E0705: test: entry \"a.npy\": its compressed data is damaged");
  // A header that claims 4 GB of zeros in 100 kB of data.
  std::string liar = npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (4294967295,)}",
                            std::string(100000, '\0'));
  CHECK(read({.data = deflate_raw(liar), .crc = crc_of(liar), .size = liar.size()}) ==
        "E0703: test#a.npy: u8[4294967295] needs 4294967295 bytes of data, but 100000 follow the "
        "header");
}

TEST_CASE("safetensors headers") {
  MemoryLimit limit(kBound);
  auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"w\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}}";
  };
  CHECK(st_error(entry("F32", "[2]", "[0,8]"), "12345678") == "no error");
  CHECK(st_error(entry("F33", "[2]", "[0,8]"), "12345678") ==
        "E0706: test: tensor \"w\": unknown dtype \"F33\"");
  CHECK(st_error(entry("F32", "[2]", "[0,4]"), "1234") ==
        "E0706: test: tensor \"w\": F32[2] is 8 bytes, its offsets give 4");
  CHECK(st_error(entry("F32", "[2]", "[8,0]"), "12345678") ==
        "E0706: test: tensor \"w\": data_offsets are no begin and end");
  CHECK(st_error(entry("F32", "[2]", "[0,8]"), "1234") ==
        "E0706: test: tensor \"w\": its offsets lie outside the file");
  CHECK(st_error(entry("F32", "[2]", "[4294967295,4294967303]"), "12345678") ==
        "E0706: test: tensor \"w\": its offsets lie outside the file");
  CHECK(st_error(entry("F32", "[2]", "[18446744073709551607,18446744073709551615]"), "1") ==
        "E0706: test: \"w\" holds a value that does not belong there");
  CHECK(st_error(entry("F32", "[-2]", "[0,8]"), "12345678") ==
        "E0706: test: \"w\" holds a value that does not belong there");
  CHECK(st_error(entry("F32", "[1.5]", "[0,8]"), "12345678") ==
        "E0706: test: \"w\" holds a value that does not belong there");
  CHECK(st_error(entry("F32", "[[2]]", "[0,8]"), "12345678") ==
        "E0706: test: \"w\" holds a value that does not belong there");
  CHECK(st_error(entry("F32", "[4611686018427387904,4]", "[0,8]"), "12345678") ==
        "E0706: test: tensor \"w\": shape [4611686018427387904,4] has too many elements");
  CHECK(st_error(entry("F4", "[3]", "[0,2]"), "12") ==
        "E0706: test: tensor \"w\": 3 elements of 4 bits are no whole bytes");
  CHECK(st_error(entry("F32", "[2]", "[0,8]"), "123456789") ==
        "E0706: test: 1 bytes at its end belong to no tensor");
  CHECK(st_error(entry("F32", "[2]", "[4,12]"), "123456789012") ==
        "E0706: test: tensor \"w\": 4 bytes before it belong to no tensor");
  auto two = [](const std::string& offsets) {
    return R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":)" +
           offsets + "}}";
  };
  CHECK(st_error(two("[8,16]"), std::string(16, 'x')) == "no error");
  CHECK(st_error(two("[4,12]"), std::string(12, 'x')) ==
        "E0706: test: tensor \"b\": its bytes overlap another tensor's");
  CHECK(st_error(two("[0,8]"), std::string(8, 'x')) ==
        "E0706: test: tensor \"b\": its bytes overlap another tensor's");
  CHECK(st_error(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}})") ==
        "E0706: test: \"a\" comes twice");
  CHECK(st_error(R"({"a":{"dtype":"U8","shape":[0]}})") ==
        "E0706: test: tensor \"a\" lacks dtype, shape or data_offsets");
  CHECK(st_error(R"({"a":{"dtype":"U8","dtype":"U8"}})") ==
        "E0706: test: tensor \"a\" has a repeated or unknown field");
  CHECK(st_error(R"({"__metadata__":{"a":1}})") ==
        "E0706: test: \"__metadata__\" holds a value that does not belong there");
  CHECK(st_error(R"({"a":1})") == "E0706: test: the header is no object of objects");
  CHECK(st_error("{\"a\":") == "E0706: test: the header is not JSON, from its byte 9");
  CHECK(st_error("{} {}").starts_with("E0706: test: the header is not JSON"));
  CHECK(st_error("[1]") == "E0706: test: its header does not begin with '{'");
  CHECK(st_error("{\"a\":" + std::string(1000000, '[')).starts_with("E0706"));
  CHECK(st_error("{\"a\":" + std::string(1000000, '{')).starts_with("E0706"));
  for (uint64_t length : {uint64_t{0xffffffff}, ~uint64_t{0}}) {
    std::string s;
    put(s, length, 8);
    CHECK(error_of(read_safetensors(blob_of(s + "{}"))) ==
          "E0706: test: a header of " + std::to_string(length) +
              " bytes; at most 100000000 are read");
  }
}

TEST_CASE("GGUF headers") {
  MemoryLimit limit(kBound);
  CHECK(gguf_error(GgufBuilder{}.bytes()) == "no error");
  CHECK(gguf_error("GGML") == "E0707: test: it does not begin with GGUF");
  GgufBuilder old;
  old.version = 1;
  CHECK(gguf_error(old.bytes()) == "E0707: test: version 1 is neither 2 nor 3");
  old.version = 0x03000000;
  CHECK(gguf_error(old.bytes()) == "E0707: test: a big-endian file");
  for (uint64_t count : {uint64_t{0xffffffff}, ~uint64_t{0}}) {
    GgufBuilder g;
    g.tensor_count = count;
    std::string number = std::to_string(count);
    std::string bytes = "GGUF";
    put(bytes, 3, 4);
    put(bytes, count, 8);
    put(bytes, 0, 8);
    CHECK(gguf_error(bytes) == "E0707: test: " + number + " tensors do not fit the file");
    bytes = "GGUF";
    put(bytes, 3, 4);
    put(bytes, 0, 8);
    put(bytes, count, 8);
    CHECK(gguf_error(bytes) == "E0707: test: " + number + " metadata entries do not fit the file");
    GgufBuilder a;
    put(a.entry("k", 9), 0, 4);
    put(a.entries, count, 8);
    CHECK(gguf_error(a.bytes()) ==
          "E0707: test: an array of " + number + " elements at byte 37 runs past the end");
    GgufBuilder s;
    put(s.entry("k", 8), count, 8);
    CHECK(gguf_error(s.bytes()) ==
          "E0707: test: a string of " + number + " bytes at byte 37 runs past the end");
    GgufBuilder d;
    d.tensor_at("t", {count, count}, 0, 0);
    std::string message = gguf_error(d.bytes());
    CHECK(message ==
          (count == 0xffffffff
               ? "E0707: test: tensor \"t\": shape [4294967295,4294967295] has too many elements"
               : "E0707: test: tensor \"t\": a dimension of 18446744073709551615"));
  }
  auto tensor = [](std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    GgufBuilder g;
    g.data = std::string(64, 'x');
    g.tensor_at("t", std::move(dims), type, offset);
    return gguf_error(g.bytes());
  };
  CHECK(tensor({16}, 0, 0) == "no error");
  CHECK(tensor({17}, 0, 0) == "E0707: test: tensor \"t\" lies outside the file");
  CHECK(tensor({1}, 0, 64) == "E0707: test: tensor \"t\" lies outside the file");
  CHECK(tensor({1}, 0, ~uint64_t{31}) == "E0707: test: tensor \"t\" lies outside the file");
  CHECK(tensor({1}, 0, 4) ==
        "E0707: test: tensor \"t\": its offset 4 is no multiple of the alignment 32");
  CHECK(tensor({48}, 3, 0) ==
        "E0707: test: tensor \"t\": rows of 48 elements are no whole blocks of Q4_1");
  CHECK(tensor({}, 3, 0) ==
        "E0707: test: tensor \"t\": rows of 1 elements are no whole blocks of Q4_1");
  CHECK(tensor({1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 0) ==
        "E0707: test: tensor \"t\": 9 dimensions; at most 8 are read");
  GgufBuilder overlap;
  overlap.data = std::string(64, 'x');
  overlap.tensor_at("a", {16}, 0, 0);
  overlap.tensor_at("b", {8}, 0, 32);
  CHECK(gguf_error(overlap.bytes()) == "E0707: test: tensors \"a\" and \"b\" overlap");
  GgufBuilder twice;
  twice.tensor_at("a", {0}, 0, 0);
  twice.tensor_at("a", {0}, 0, 0);
  CHECK(gguf_error(twice.bytes()) == "E0707: test: tensor \"a\" comes twice");
  GgufBuilder keys;
  put(keys.entry("k", 0), 1, 1);
  put(keys.entry("k", 0), 1, 1);
  CHECK(gguf_error(keys.bytes()) == "E0707: test: metadata \"k\" comes twice");
  GgufBuilder type;
  put(type.entry("k", 13), 0, 8);
  CHECK(gguf_error(type.bytes()) == "E0707: test: unknown value type 13 at byte 33");
  GgufBuilder truth;
  put(truth.entry("k", 7), 2, 1);
  CHECK(gguf_error(truth.bytes()) == "E0707: test: a bool of value 2 at byte 37");
  for (uint64_t alignment : {0, 4, 12}) {
    GgufBuilder g;
    put(g.entry("general.alignment", 4), alignment, 4);
    CHECK(gguf_error(g.bytes()) == "E0707: test: general.alignment is " +
                                       std::to_string(alignment) + ", not a multiple of 8");
  }
}

TEST_CASE("deep nesting and long lists stay linear") {
  MemoryLimit limit(kBound * 4);
  GgufBuilder deep;
  std::string& s = deep.entry("k", 9);
  for (int i = 0; i < 100000; ++i) {
    put(s, 9, 4);
    put(s, 1, 8);
  }
  CHECK(gguf_error(deep.bytes()) == "E0707: test: arrays nest deeper than 8");
  GgufBuilder wide;  // 500,000 empty arrays in an array
  std::string& w = wide.entry("k", 9);
  put(w, 9, 4);
  put(w, 500000, 8);
  for (int i = 0; i < 500000; ++i) {
    put(w, 0, 4);
    put(w, 0, 8);
  }
  CHECK(gguf_error(wide.bytes()) == "no error");
}

TEST_CASE("headers of nothing but entries keep the readers' stated memory bounds") {
  constexpr uint64_t kMebibyte = 1 << 20;
  GgufBuilder many;
  for (int i = 0; i < 200000; ++i) put(many.entry(std::to_string(i), 0), 1, 1);
  Blob gguf = blob_of(many.bytes());
  {
    MemoryLimit limit(32 * gguf.bytes.size() + kMebibyte);
    CHECK(error_of(read_gguf(gguf)) == "no error");
  }
  GgufBuilder empty;
  for (int i = 0; i < 200000; ++i) empty.tensor_at(std::to_string(i), {0}, 24, 0);
  Blob tensors = blob_of(empty.bytes());
  {
    MemoryLimit limit(32 * tensors.bytes.size() + kMebibyte);
    CHECK(error_of(read_gguf(tensors)) == "no error");
  }
  std::string header = "{\"__metadata__\":{";
  for (int i = 0; i < 200000; ++i) header += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
  Blob st = blob_of(safetensors_bytes(header + "}}", ""));
  {
    MemoryLimit limit(64 * st.bytes.size());
    CHECK(error_of(read_safetensors(st)) == "no error");
  }
  header = "{";
  for (int i = 0; i < 50000; ++i)
    header += (i ? ",\"" : "\"") + std::to_string(i) +
              R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  Blob st_tensors = blob_of(safetensors_bytes(header + "}", ""));
  {
    MemoryLimit limit(64 * st_tensors.bytes.size());
    CHECK(error_of(read_safetensors(st_tensors)) == "no error");
  }
}
