// safetensors, GGUF and listings: what well-formed files give.
#include <array>
#include <cmath>

#include "data_files.h"
#include "data_test.h"
#include "isa/diag/data.h"
#include "isa/numerics.h"
#include "vm/data/gguf.h"
#include "vm/data/listing.h"
#include "vm/data/npz.h"
#include "vm/data/safetensors.h"
#include "vm/data/source.h"

#include <fcntl.h>
#include <unistd.h>

using namespace tess;

TEST_CASE("safetensors: every dtype, metadata, empty tensors, padding") {
  struct Row {
    const char* name;
    const char* dtype;
    int bits;
  };
  constexpr Row kRows[] = {
      {"BOOL", "bool", 8},    {"F4", "e2m1", 4},  {"F6_E2M3", "e2m3", 6}, {"F6_E3M2", "e3m2", 6},
      {"U8", "u8", 8},        {"I8", "i8", 8},    {"F8_E5M2", "e5m2", 8}, {"F8_E4M3", "e4m3", 8},
      {"F8_E8M0", "e8m0", 8}, {"I16", "i16", 16}, {"U16", "u16", 16},     {"F16", "f16", 16},
      {"BF16", "bf16", 16},   {"I32", "i32", 32}, {"U32", "u32", 32},     {"F32", "f32", 32},
      {"F64", "f64", 64},     {"I64", "i64", 64}, {"U64", "u64", 64}};
  for (const Row& row : kRows) {
    CAPTURE(row.name);
    int bytes = 2 * 4 * row.bits / 8;
    std::string data(static_cast<size_t>(bytes), '\1');
    Blob blob = blob_of(safetensors_bytes(
        std::string("{\"__metadata__\":{\"format\":\"pt\"},\"w\":{\"dtype\":\"") + row.name +
            "\",\"shape\":[2,4],\"data_offsets\":[0," + std::to_string(bytes) +
            "]},\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}    ",
        data));
    SafetensorsFile file = must(read_safetensors(blob));
    REQUIRE(file.metadata.size() == 1);
    CHECK(file.metadata[0].second == "pt");
    HostTensor t = must(safetensors_tensor(blob, file, "w"));
    CHECK(dtype_name(t.dtype) == row.dtype);
    CHECK(t.shape == std::vector<int64_t>{2, 4});
    CHECK(t.bytes == blob.bytes.data() + blob.bytes.size() - bytes);
    CHECK(must(safetensors_tensor(blob, file, "e")).size_bytes == 0);
    auto missing = safetensors_tensor(blob, file, "ww");
    CHECK(error_of(missing) == "E0708: no tensor \"ww\" in test");
  }
  Blob foreign = blob_of(safetensors_bytes(
      R"({"c":{"dtype":"C64","shape":[3],"data_offsets":[0,24]}})", std::string(24, 'x')));
  HostTensor t = must(safetensors_tensor(foreign, must(read_safetensors(foreign)), "c"));
  CHECK(t.raw);
  CHECK(t.declared == "C64");
  CHECK(t.shape == std::vector<int64_t>{24});
}

TEST_CASE("GGUF: every value type, nested arrays, versions 2 and 3, alignment") {
  for (uint32_t version : {2u, 3u}) {
    Blob blob = blob_of(small_gguf(version));
    GgufFile file = must(read_gguf(blob));
    CHECK(file.version == version);
    CHECK(file.alignment == 64);
    auto text = [&](std::string_view key) {
      for (const GgufEntry& e : file.metadata)
        if (e.key == key) return std::string(gguf_value_name(e.type)) + " " + e.text;
      return std::string("absent");
    };
    CHECK(text("u8") == "u8 200");
    CHECK(text("i8") == "i8 -3");
    CHECK(text("u16") == "u16 60000");
    CHECK(text("i16") == "i16 -3");
    CHECK(text("u32") == "u32 4000000000");
    CHECK(text("i32") == "i32 -3");
    CHECK(text("f32") == "f32 1.5");
    CHECK(text("bool") == "bool true");
    CHECK(text("string") == "string \"he\\\"y\"");
    CHECK(text("u64") == "u64 18446744073709551615");
    CHECK(text("i64") == "i64 -3");
    CHECK(text("f64") == "f64 0.1");
    CHECK(text("nested") == "array [[1, 2], [], [3]]");
    CHECK(text("strings") == "array [\"a\", \"\"]");
    CHECK(text("empty") == "array []");
    CHECK(text("long").ends_with("..."));
    CHECK(*gguf_number(blob, file, "i16") == -3);
    CHECK(*gguf_number(blob, file, "f64") == 0.1);
    CHECK(*gguf_string(blob, file, "string") == "he\"y");
    CHECK(!gguf_number(blob, file, "string"));
    CHECK(!gguf_string(blob, file, "none"));

    HostTensor f = must(gguf_tensor(blob, file, "f"));
    CHECK(f.dtype == dt::f32_);
    CHECK(f.shape == std::vector<int64_t>{2, 3});
    CHECK(element_value(f, 5) == 6);
    HostTensor q = must(gguf_tensor(blob, file, "q"));
    CHECK(q.raw);
    CHECK(q.declared == "Q4_1");
    CHECK(q.shape == std::vector<int64_t>{2, 40});
    CHECK((q.bytes - blob.bytes.data()) % 64 == 0);
    CHECK(error_of(gguf_tensor(blob, file, "new")) ==
          "E0715: test: tensor \"new\" has the unknown type 99");
    auto missing = gguf_tensor(blob, file, "ff");
    CHECK(error_of(missing) == "E0708: no tensor \"ff\" in test");
  }
}

TEST_CASE("the table of GGUF types") {
  auto types = gguf_types();
  CHECK(types.size() == 34);
  for (const GgufType& t : types) {
    CHECK(find_gguf_type(t.number) == &t);
    CHECK((t.block_elements == 1) == (t.dtype.kind != Kind::none));
    if (t.block_elements == 1) CHECK(t.block_bytes * 8 == t.dtype.bits);
  }
  CHECK(find_gguf_type(4) == nullptr);  // withdrawn
  CHECK(find_gguf_type(12)->block_bytes == 144);
}

TEST_CASE("the sample of a real model") {
  std::string path = data_path("smollm2_sample.gguf");
  Blob blob = must(map_file(path));
  GgufFile file = must(read_gguf(blob));
  CHECK(*gguf_string(blob, file, "general.license") == "apache-2.0");
  CHECK(*gguf_number(blob, file, "llama.embedding_length") == 576);
  CHECK(file.tensors.size() == 8);
  HostTensor q = must(gguf_tensor(blob, file, "blk.0.attn_q.weight"));
  CHECK(q.declared == "Q4_1");
  CHECK(q.shape == std::vector<int64_t>{576, 576 / 32 * 20});
  HostTensor rows = must(gguf_tensor(blob, file, "token_embd.weight.first256"));
  CHECK(rows.declared == "Q8_0");
  CHECK(rows.shape == std::vector<int64_t>{256, 576 / 32 * 34});
  HostTensor norm = must(load_source(must(parse_source(path + "#output_norm.weight")), dt::f32_,
                                     std::vector<int64_t>{576}));
  for (uint64_t i = 0; i < 576; ++i) CHECK(std::isfinite(element_value(norm, i)));
  auto near = gguf_tensor(blob, file, "blk.0.attn_w.weight");
  REQUIRE(!near);
  CHECK(near.error().hint.starts_with("did you mean \"blk.0.attn_"));
  HostTensor as_blocks = must(load_source(must(parse_source(path + "#blk.0.attn_q.weight")),
                                          dt::u8_, std::vector<int64_t>{576, 18, 20}));
  CHECK(as_blocks.shape.size() == 3);
}

TEST_CASE("Q4_1 and Q8_0 blocks decode to the oracle's values") {
  Blob npz = must(map_file(data_path("gguf_blocks.npz")));
  auto half = [](const HostTensor& t, uint64_t at) {
    return decode_float(dt::f16_, read_bits(t.bytes, at * 8, 16));
  };
  HostTensor blocks = must(read_npz(npz, "Q4_1_blocks")),
             values = must(read_npz(npz, "Q4_1_values"));
  REQUIRE(blocks.shape == std::vector<int64_t>{24, 20});
  REQUIRE(values.shape == std::vector<int64_t>{24, 32});
  for (uint64_t b = 0; b < 24; ++b)
    for (uint64_t i = 0; i < 32; ++i) {
      int code = blocks.bytes[b * 20 + 4 + i % 16] >> (i / 16 * 4) & 15;
      float want = static_cast<float>(half(blocks, b * 20)) * static_cast<float>(code) +
                   static_cast<float>(half(blocks, b * 20 + 2));
      CHECK(static_cast<float>(element_value(values, b * 32 + i)) == want);
    }
  blocks = must(read_npz(npz, "Q8_0_blocks"));
  values = must(read_npz(npz, "Q8_0_values"));
  for (uint64_t b = 0; b < 24; ++b)
    for (uint64_t i = 0; i < 32; ++i) {
      float want = static_cast<float>(half(blocks, b * 34)) *
                   static_cast<int8_t>(blocks.bytes[b * 34 + 2 + i]);
      CHECK(static_cast<float>(element_value(values, b * 32 + i)) == want);
    }
  for (const GgufType& t : gguf_types()) {
    auto b = read_npz(npz, std::string(t.name) + "_blocks");
    if (b) CHECK(b->shape[1] == t.block_bytes);
    if (b) CHECK(must(read_npz(npz, std::string(t.name) + "_values")).shape[1] == t.block_elements);
  }
}

TEST_CASE("listings") {
  Listing gguf = must(list_blob(blob_of(small_gguf(3), "m.gguf")));
  std::string text = listing_text(gguf);
  CHECK(text.starts_with("m.gguf: gguf version 3, alignment 64, "));
  CHECK(text.find("  nested             array[3]   [[1, 2], [], [3]]\n") != std::string::npos);
  CHECK(text.find("  q    Q4_1     [2,64]  80 bytes at ") != std::string::npos);
  CHECK(text.find("(blocks of 32 in 20 bytes)") != std::string::npos);
  CHECK(text.find("  new  type 99  [7]     0 bytes at ") != std::string::npos);
  std::string json = listing_json(gguf);
  CHECK(json.find(
            "{\"name\":\"q\",\"dtype\":null,\"declared\":\"Q4_1\",\"shape\":[2,64],\"offset\":") !=
        std::string::npos);
  CHECK(json.find("{\"key\":\"string\",\"type\":\"string\",\"value\":\"\\\"he\\\\\\\"y\\\"\"}") !=
        std::string::npos);

  Listing npz = must(list_file(data_path("numpy/deflated.npz")));
  REQUIRE(npz.tensors.size() == 3);
  CHECK(npz.tensors[0].name == "a");
  CHECK(npz.tensors[0].dtype == dt::f32_);
  CHECK(npz.tensors[0].note.starts_with("deflated, "));
  CHECK(npz.tensors[2].note.ends_with("Fortran order"));
  Listing npy = must(list_file(data_path("numpy/big_i4.npy")));
  CHECK(listing_text(npy).find("  i32  [3,5]  60 bytes at 128  (big-endian)\n") !=
        std::string::npos);
  Listing st = must(list_blob(
      blob_of(safetensors_bytes("{\"__metadata__\":{\"a\\u001b[31m\":\"b\\n\"},\"w\":{\"dtype\":"
                                "\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}",
                                "1234"))));
  CHECK(listing_text(st).find('\x1b') == std::string::npos);
  CHECK(listing_text(st).find("\"b\\n\"") != std::string::npos);
  CHECK(error_of(list_blob(blob_of("hello, world", "x.bin"))) ==
        "E0714: x.bin is no .npy, .npz, .safetensors or GGUF file");
  CHECK(!list_blob(blob_of("")));
}

TEST_CASE("a mapped file of 1 GB raises resident memory only by what is touched") {
  TemporaryFolder folder;
  constexpr uint64_t kData = uint64_t{1} << 30;
  std::string path = folder.file("big.safetensors");
  std::string head = safetensors_bytes(
      R"({"w":{"dtype":"F32","shape":[16384,16384],"data_offsets":[0,1073741824]}})", "");
  int fd = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  REQUIRE(fd >= 0);
  REQUIRE(::write(fd, head.data(), head.size()) == static_cast<ssize_t>(head.size()));
  REQUIRE(::ftruncate(fd, static_cast<off_t>(head.size() + kData)) == 0);
  ::close(fd);
  auto resident = [] {
    std::ifstream in("/proc/self/statm");
    uint64_t total = 0, pages = 0;
    in >> total >> pages;
    return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  };
  uint64_t before = resident();
  HostTensor w = must(
      load_source(must(parse_source(path + "#w")), dt::f32_, std::vector<int64_t>{16384, 16384}));
  double sum = 0;
  for (uint64_t i = 0; i < 1 << 18; ++i) sum += element_value(w, i * 1024 % (1 << 18));
  CHECK(sum == 0);
  CHECK(w.size_bytes == kData);
  CHECK(resident() < before + (uint64_t{16} << 20));
}
