// Tensor files against NumPy's own, writing, binding, printing.
#include "data_test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cmath>
#include <csignal>
#include <sstream>

#include "isa/diag/data.h"
#include "isa/numerics.h"
#include "vm/data/atomic_file.h"
#include "vm/data/npy.h"
#include "vm/data/npz.h"
#include "vm/data/source.h"

using namespace tess;

namespace {

HostTensor numpy_file(const std::string& name) {
  return must(read_npy(must(map_file(data_path("numpy/" + name + ".npy")))));
}

}  // namespace

TEST_CASE("arrays saved by NumPy have NumPy's elements") {
  std::istringstream lines(read_bytes(data_path("numpy/values.txt")));
  std::string line;
  int arrays = 0, elements = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string name, word;
    uint64_t count;
    words >> name >> count;
    CAPTURE(name);
    HostTensor t = numpy_file(name);
    REQUIRE(*element_count(t.shape) == count);
    for (uint64_t i = 0; i < count; ++i, ++elements) {
      words >> word;
      if (t.dtype.is_float()) {
        double want = std::strtod(word.c_str(), nullptr), have = element_value(t, i);
        if (std::isnan(want)) CHECK(std::isnan(have));
        else CHECK(have == want);
      } else if (t.dtype.kind == Kind::uint) {
        CHECK(static_cast<uint64_t>(element_int(t, i)) == std::strtoull(word.c_str(), nullptr, 10));
      } else {
        CHECK(element_int(t, i) == std::strtoll(word.c_str(), nullptr, 10));
      }
    }
    ++arrays;
  }
  CHECK(arrays >= 35);
  CHECK(elements >= 500);
}

TEST_CASE("header facts: types, Fortran order, versions, raw bytes") {
  CHECK(numpy_file("b1").dtype == dt::bool_);
  CHECK(numpy_file("f2").dtype == dt::f16_);
  CHECK(numpy_file("big_u8").dtype == dt::u64_);
  HostTensor fortran = numpy_file("fortran");
  CHECK(fortran.strides == std::vector<int64_t>{1, 2, 6});
  CHECK(fortran.shape == std::vector<int64_t>{2, 3, 4});
  HostTensor dense = must(to_dense(fortran));
  CHECK(dense.strides == std::vector<int64_t>{12, 4, 1});
  CHECK(same_elements(fortran, dense));
  CHECK(numpy_file("scalar").shape.empty());
  CHECK(numpy_file("empty").size_bytes == 0);
  for (int v : {1, 2, 3}) {
    HostTensor t = numpy_file("version" + std::to_string(v));
    CHECK(t.shape == std::vector<int64_t>{2, 3});
    CHECK(element_int(t, 5) == 5);
  }
  HostTensor words = numpy_file("void2");
  CHECK(words.raw);
  CHECK(words.dtype == dt::u16_);
  HostTensor blocks = numpy_file("void20");
  CHECK(blocks.shape == std::vector<int64_t>{3, 20});
  CHECK(blocks.declared == "|V20");
  CHECK(element_int(blocks, 41) == 41);
}

TEST_CASE("a mapped array is borrowed, not copied") {
  Blob blob = must(map_file(data_path("numpy/f4.npy")));
  HostTensor t = must(read_npy(blob));
  CHECK(t.bytes == blob.bytes.data() + 128);
  CHECK(t.mutable_bytes() == nullptr);
}

TEST_CASE("NumPy types that Tessera lacks are refused by name") {
  auto refused = [](const char* name) {
    auto r = read_npy(must(map_file(data_path(std::string("numpy/") + name + ".npy"))));
    REQUIRE(!r);
    CHECK(r.error().code == diag::npy_unsupported);
    return r.error().message;
  };
  CHECK(refused("bad_object").find("Python objects are not loaded") != std::string::npos);
  CHECK(refused("bad_complex").find("'<c16': complex") != std::string::npos);
  CHECK(refused("bad_string").find("'<U2': strings") != std::string::npos);
  CHECK(refused("bad_date").find("dates") != std::string::npos);
  CHECK(refused("bad_struct").find("structures") != std::string::npos);
  CHECK(refused("bad_longdouble").find("no such type") != std::string::npos);
}

TEST_CASE("a written npy is byte for byte NumPy's") {
  TemporaryFolder folder;
  int files = 0;
  for (const char* name : {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8",
                           "scalar", "empty", "print_cube", "print_large", "print_large_1d"}) {
    CAPTURE(name);
    must_do(write_npy(folder.file("x.npy"), numpy_file(name)));
    CHECK(read_bytes(folder.file("x.npy")) ==
          read_bytes(data_path("numpy/" + std::string(name) + ".npy")));
    ++files;
  }
  CHECK(files == 17);
  CHECK(folder.entries() == 1);
}

TEST_CASE("every type goes through npy and npz and back, odd sizes included") {
  TemporaryFolder folder;
  for (DType dtype : all_dtypes()) {
    CAPTURE(dtype_name(dtype));
    for (std::vector<int64_t> shape :
         {std::vector<int64_t>{}, {0, 3}, {1}, {7}, {3, 5}, {2, 3, 7}}) {
      HostTensor t = scrambled(dtype, shape);
      if (dtype.is_tf32())
        for (uint64_t i = 0; i < *element_count(shape); ++i)
          set_element_code(t, i, element_code(t, i) & ~uint64_t{0x1fff});
      for (const char* where : {"t.npy", "t.npz#k"}) {
        must_do(save_dest(must(parse_dest(folder.file(where))), t));
        HostTensor back = must(load_source(must(parse_source(folder.file(where))), dtype, shape));
        CHECK(same_elements(t, back));
        CHECK(is_dense(back));
      }
    }
  }
  CHECK(folder.entries() == 2);
}

TEST_CASE("npz files of NumPy") {
  Blob stored = must(map_file(data_path("numpy/stored.npz")));
  Blob deflated = must(map_file(data_path("numpy/deflated.npz")));
  CHECK(same_elements(must(read_npz(stored, "a")), numpy_file("f4")));
  CHECK(same_elements(must(read_npz(stored, "a.npy")), numpy_file("f4")));
  CHECK(same_elements(must(read_npz(stored, "b")), numpy_file("i8")));
  CHECK(same_elements(must(read_npz(deflated, "a")), numpy_file("f4")));
  CHECK(same_elements(must(read_npz(deflated, "fortran")), numpy_file("fortran")));
  HostTensor zeros = must(read_npz(deflated, "zeros"));
  CHECK(zeros.shape == std::vector<int64_t>{5000});
  auto missing = read_npz(deflated, "zeroes");
  REQUIRE(!missing);
  CHECK(error_of(missing) == "E0708: no tensor \"zeroes\" in " + deflated.name);
  CHECK(missing.error().hint == "did you mean \"zeros\"?");
  auto far = read_npz(deflated, "q_projection");
  CHECK(far.error().hint == "its tensors are \"a\", \"zeros\", \"fortran\"");
}

TEST_CASE("npz writing adds and replaces keys and keeps the others") {
  TemporaryFolder folder;
  std::string path = folder.file("x.npz");
  std::filesystem::copy_file(data_path("numpy/deflated.npz"), path);
  HostTensor t = scrambled(dt::f32_, {17});
  must_do(write_npz(path, "new", t));
  must_do(write_npz(path, "zeros", t));
  Blob blob = must(map_file(path));
  std::vector<ZipEntry> entries = must(read_zip_directory(blob));
  REQUIRE(entries.size() == 4);
  CHECK(entries[0].name == "a.npy");
  CHECK(entries[0].method == 8);
  CHECK(entries[1].name == "zeros.npy");
  CHECK(entries[3].name == "new.npy");
  CHECK(same_elements(must(read_npz(blob, "new")), t));
  CHECK(same_elements(must(read_npz(blob, "zeros")), t));
  CHECK(same_elements(must(read_npz(blob, "fortran")), numpy_file("fortran")));
  for (const ZipEntry& e : entries)
    if (e.method == 0) CHECK(e.data_offset % 64 == 0);

  std::ofstream(folder.file("damaged.npz")) << "not a zip archive, but something precious";
  auto refused = write_npz(folder.file("damaged.npz"), "k", t);
  REQUIRE(!refused);
  CHECK(refused.error().code == diag::zip_malformed);
  CHECK(read_bytes(folder.file("damaged.npz")) == "not a zip archive, but something precious");
  CHECK(folder.entries() == 2);
}

TEST_CASE("zip64: more entries and larger sizes than the old fields hold") {
  TemporaryFolder folder;
  constexpr int kEntries = 65600;
  {
    AtomicFile file = must(AtomicFile::create(folder.file("many.npz")));
    ZipWriter zip(file);
    std::string array = npy_header(dt::u8_, {});
    array += '\7';
    for (int i = 0; i < kEntries; ++i)
      must_do(zip.add_stored(std::to_string(i) + ".npy",
                             {reinterpret_cast<const uint8_t*>(array.data()), array.size()}, {}));
    must_do(zip.finish());
    must_do(file.commit());
  }
  Blob many = must(map_file(folder.file("many.npz")));
  CHECK(must(read_zip_directory(many)).size() == kEntries);
  CHECK(element_int(must(read_npz(many, "65599")), 0) == 7);
  {
    AtomicFile file = must(AtomicFile::create(folder.file("large.npz")));
    ZipWriter zip(file);
    ZipEntry entry;
    entry.name = "x.npy";
    entry.method = 8;
    entry.compressed = 9 << 20;
    entry.size = uint64_t{1} << 33;
    std::vector<uint8_t> compressed(entry.compressed);
    must_do(zip.add_copy(entry, compressed));
    must_do(zip.finish());
    must_do(file.commit());
  }
  std::vector<ZipEntry> entries =
      must(read_zip_directory(must(map_file(folder.file("large.npz")))));
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].size == uint64_t{1} << 33);
  CHECK(entries[0].compressed == 9 << 20);
}

TEST_CASE("an output appears whole or not at all") {
  TemporaryFolder folder;
  std::string path = folder.file("out.npy");
  std::vector<uint8_t> junk(100000, 7);
  SUBCASE("given up") {
    {
      AtomicFile file = must(AtomicFile::create(path));
      must_do(file.write(junk));
      CHECK(!std::filesystem::exists(path));
    }
    CHECK(folder.entries() == 0);
  }
  SUBCASE("given up over an existing file") {
    std::ofstream(path) << "old";
    {
      AtomicFile file = must(AtomicFile::create(path));
      must_do(file.write(junk));
      CHECK(read_bytes(path) == "old");
    }
    CHECK(read_bytes(path) == "old");
    CHECK(folder.entries() == 1);
  }
  SUBCASE("killed half-way") {
    std::ofstream(path) << "old";
    pid_t child = ::fork();
    if (child == 0) {
      auto file = AtomicFile::create(path);
      if (file && file->write(junk)) ::raise(SIGKILL);
      ::_exit(1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(read_bytes(path) == "old");
    int unnamed = ::open(folder.path.c_str(), O_TMPFILE | O_WRONLY, 0600);
    if (unnamed >= 0) {
      ::close(unnamed);
      CHECK(folder.entries() == 1);
    }
  }
  SUBCASE("an existing file is replaced, its permissions kept, a link followed") {
    std::ofstream(path) << "old";
    ::chmod(path.c_str(), 0640);
    ::symlink("out.npy", folder.file("link.npy").c_str());
    HostTensor t = scrambled(dt::i32_, {5});
    must_do(write_npy(folder.file("link.npy"), t));
    CHECK(std::filesystem::is_symlink(folder.file("link.npy")));
    CHECK(same_elements(must(read_npy(must(map_file(path)))), t));
    CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::mask) ==
          std::filesystem::perms(0640));
    CHECK(folder.entries() == 2);
  }
  SUBCASE("a missing folder and a folder as the target are errors") {
    HostTensor t = scrambled(dt::i32_, {5});
    CHECK(error_of(write_npy(folder.file("no/out.npy"), t)) ==
          "E0701: cannot write " + folder.file("no/out.npy") + ": No such file or directory");
    CHECK(error_of(write_npy(folder.path.string(), t)) ==
          "E0701: cannot write " + folder.path.string() + ": it is a folder");
  }
}

TEST_CASE("overwriting a file leaves its mapped readers untouched") {
  TemporaryFolder folder;
  HostTensor first = scrambled(dt::f32_, {1000}, 1), second = scrambled(dt::f32_, {10}, 2);
  must_do(write_npy(folder.file("x.npy"), first));
  HostTensor mapped = must(read_npy(must(map_file(folder.file("x.npy")))));
  must_do(write_npy(folder.file("x.npy"), second));
  CHECK(same_elements(mapped, first));
}

TEST_CASE("files that cannot be read say why") {
  TemporaryFolder folder;
  CHECK(error_of(map_file(folder.file("none.npy"))) ==
        "E0700: cannot read " + folder.file("none.npy") + ": No such file or directory");
  CHECK(error_of(map_file(folder.path.string())) ==
        "E0700: cannot read " + folder.path.string() + ": it is a folder");
  REQUIRE(::mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  CHECK(error_of(map_file(folder.file("pipe"))) ==
        "E0700: cannot read " + folder.file("pipe") + ": it is not a regular file");
  std::ofstream(folder.file("empty.npy")).flush();
  CHECK(error_of(read_npy(must(map_file(folder.file("empty.npy"))))) ==
        "E0703: " + folder.file("empty.npy") + ": it does not begin as an .npy file does");
}

TEST_CASE("binding keeps the bits and refuses the rest") {
  auto bound = [](const HostTensor& t, DType want, std::vector<int64_t> shape) {
    return bind(t, want, shape);
  };
  HostTensor bytes = scrambled(dt::u8_, {6}), halves = scrambled(dt::u16_, {2, 3}),
             floats = scrambled(dt::f32_, {4});

  SUBCASE("packed bytes as sub-byte types") {
    DType e2m1 = *find_dtype("e2m1");
    HostTensor t = must(bound(bytes, e2m1, {3, 4}));
    CHECK(t.bytes == bytes.bytes);
    CHECK(element_code(t, 5) == bytes.bytes[2] >> 4);
    CHECK(must(bound(bytes, dt::u3_, {16})).size_bytes == 6);
    CHECK(must(bound(bytes, dt::u7_, {6})).size_bytes == 6);
    CHECK(must(bound(scrambled(dt::u8_, {2, 3}), dt::i4_, {4, 3})).shape ==
          std::vector<int64_t>{4, 3});
    auto wrong = bound(bytes, dt::u4_, {13});
    CHECK(error_of(wrong) == "E0710: the file holds u8[6], the parameter is u4[13]");
    CHECK(wrong.error().hint == "u4[13] is 7 bytes, the file's tensor has 6");
  }
  SUBCASE("16, 32 and 64 bits") {
    HostTensor t = must(bound(halves, dt::bf16_, {2, 3}));
    CHECK(t.dtype == dt::bf16_);
    CHECK(t.bytes == halves.bytes);
    CHECK(bound(halves, dt::f16_, {2, 3}));
    CHECK(bound(halves, dt::i16_, {2, 3}));
    CHECK(bound(scrambled(dt::u64_, {2}), dt::f64_, {2}));
    HostTensor ones = must(generate({Generator::ones, {}}, dt::f32_, {4}));
    CHECK(bound(ones, dt::tf32_, {4}));
    CHECK(error_of(bound(floats, dt::tf32_, {4})) ==
          "E0709: the file holds values that tf32 cannot represent");
    CHECK(error_of(bound(floats, dt::i32_, {4})) ==
          "E0709: the file holds f32[4], the parameter is i32[4]");
    CHECK(error_of(bound(scrambled(dt::f16_, {2}), dt::bf16_, {2})) ==
          "E0709: the file holds f16[2], the parameter is bf16[2]");
    CHECK(error_of(bound(floats, dt::f16_, {4})) ==
          "E0709: the file holds f32[4], the parameter is f16[4]");
  }
  SUBCASE("8 bits") {
    CHECK(bound(bytes, dt::e4m3_, {6}));
    CHECK(bound(bytes, dt::e8m0_, {6}));
    CHECK(bound(bytes, dt::i8_, {6}));
    CHECK(!bound(scrambled(dt::e4m3_, {6}), dt::e5m2_, {6}));
    CHECK(error_of(bound(bytes, dt::e4m3_, {2, 3})) ==
          "E0710: the file holds u8[6], the parameter is e4m3[2,3]");
  }
  SUBCASE("bool bytes become 0 or 1") {
    HostTensor odd = must(make_tensor(dt::u8_, {3}));
    set_element_code(odd, 0, 2);
    set_element_code(odd, 2, 0x80);
    HostTensor t = must(bound(odd, dt::bool_, {3}));
    CHECK(t.bytes[0] == 1);
    CHECK(t.bytes[1] == 0);
    CHECK(t.bytes[2] == 1);
    CHECK(odd.bytes[0] == 2);
  }
  SUBCASE("shapes") {
    CHECK(error_of(bound(halves, dt::u16_, {3, 2})) ==
          "E0710: the file holds u16[2,3], the parameter is u16[3,2]");
    CHECK(!bound(halves, dt::u16_, {6}));
    CHECK(bound(scrambled(dt::i32_, {}), dt::i32_, {1, 1}));
    CHECK(bound(scrambled(dt::i32_, {1}), dt::i32_, {}));
  }
  SUBCASE("raw bytes as anything of their size") {
    HostTensor raw = must(read_npy(must(map_file(data_path("numpy/void20.npy")))));
    CHECK(bound(raw, dt::u8_, {3, 20}));
    CHECK(bound(raw, dt::f32_, {15}));
    CHECK(bound(raw, dt::u5_, {96}));
    CHECK(error_of(bound(raw, dt::f32_, {16})) ==
          "E0710: the file holds u8[3,20] (declared |V20), the parameter is f32[16]");
    CHECK(bound(must(read_npy(must(map_file(data_path("numpy/void2.npy"))))), dt::bf16_, {3}));
  }
  SUBCASE("misaligned bytes stay where they are") {
    auto block = std::make_shared<std::vector<uint8_t>>(64, 5);
    HostTensor t = must(borrow_tensor(dt::f32_, {4}, {block->data() + 1, 16}, block));
    CHECK(must(bound(t, dt::f32_, {4})).bytes == block->data() + 1);
  }
  SUBCASE("strided files become row-major") {
    HostTensor t = must(bound(numpy_file("fortran"), dt::f32_, {2, 3, 4}));
    CHECK(is_dense(t));
    for (uint64_t i = 0; i < 24; ++i) CHECK(element_value(t, i) == static_cast<double>(i));
  }
}

TEST_CASE("shapes are checked before anything is allocated") {
  int64_t huge = int64_t{1} << 40;
  CHECK(!element_count(std::vector<int64_t>{huge, huge}));
  CHECK(!element_count(std::vector<int64_t>{0, huge, huge}));
  CHECK(!element_count(std::vector<int64_t>{-1}));
  CHECK(!element_count(std::vector<int64_t>(65, 1)));
  CHECK(*element_count(std::vector<int64_t>{huge, 0}) == 0);
  CHECK(*dense_bytes(dt::u3_, std::vector<int64_t>{3}) == 2);
  CHECK(!make_tensor(dt::f64_, {int64_t{1} << 55}));
}

TEST_CASE("fresh tensors are aligned, zero and have a zero tail") {
  for (DType dtype : {dt::u3_, dt::f32_, dt::u8_}) {
    HostTensor t = must(make_tensor(dtype, {5, 3}));
    CHECK(reinterpret_cast<uintptr_t>(t.bytes) % 64 == 0);
    for (uint64_t i = 0; i < (t.size_bytes + 63) / 64 * 64; ++i) CHECK(t.bytes[i] == 0);
  }
}

TEST_CASE("tensors print as NumPy prints them") {
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(data_path("numpy"))) {
    std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".txt" || name == "values" || name.starts_with("void"))
      continue;
    CAPTURE(name);
    CHECK(format_tensor(numpy_file(name)) + "\n" == read_bytes(entry.path().string()));
    ++compared;
  }
  CHECK(compared >= 40);
}

TEST_CASE("types that NumPy lacks print with the digits that identify them") {
  DType e2m1 = *find_dtype("e2m1");
  HostTensor t = must(make_tensor(e2m1, {2, 4}));
  for (uint64_t i = 0; i < 8; ++i) set_element_code(t, i, i);
  CHECK(format_tensor(t) == "[[0.  0.5 1.  1.5]\n [2.  3.  4.  6. ]]");
  HostTensor b = must(make_tensor(dt::bf16_, {3}));
  for (uint64_t i = 0; i < 3; ++i) set_element_value(b, i, std::array{0.1, 3.14159, -25.5}[i]);
  CHECK(format_tensor(b) == "[  0.1    3.14 -25.5 ]");
  HostTensor s = must(make_tensor(dt::i3_, {4}));
  for (uint64_t i = 0; i < 4; ++i) set_element_code(s, i, i * 2);
  CHECK(format_tensor(s) == "[ 0  2 -4 -2]");
  HostTensor scale = must(make_tensor(dt::e8m0_, {3}));
  for (uint64_t i = 0; i < 3; ++i) set_element_code(scale, i, 126 + i);
  CHECK(format_tensor(scale) == "[0.5 1.  2. ]");
}
