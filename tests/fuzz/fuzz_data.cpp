// Tensor files: the first byte chooses the reader, the rest is the file. Everything that a reader
// accepts is listed, and every byte of every tensor is touched.
#include <cstdint>
#include <memory>
#include <vector>

#include "vm/data/gguf.h"
#include "vm/data/listing.h"
#include "vm/data/npy.h"
#include "vm/data/npz.h"
#include "vm/data/safetensors.h"
#include "vm/data/source.h"

namespace {

using namespace tess;

volatile uint64_t sink;

void touch(const Result<HostTensor>& t) {
  if (!t) return;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < t->size_bytes; ++i) sum += t->bytes[i];
  sink = sum + format_tensor(*t).size();
  (void)bind(*t, t->dtype, t->shape);
}

void read_members(const Blob& blob, int format) {
  if (format == 1) touch(read_npy(blob));
  if (format == 2)
    if (auto entries = read_zip_directory(blob))
      for (const ZipEntry& e : *entries) touch(read_npz(blob, e.name));
  if (format == 3)
    if (auto file = read_safetensors(blob))
      for (const SafetensorsEntry& e : file->tensors)
        touch(safetensors_tensor(blob, *file, e.name));
  if (format == 4)
    if (auto file = read_gguf(blob))
      for (const GgufTensor& t : file->tensors) touch(gguf_tensor(blob, *file, t.name));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  auto bytes = std::make_shared<std::vector<uint8_t>>(data + 1, data + size);
  Blob blob{{bytes->data(), bytes->size()}, bytes, "fuzz"};
  int format = data[0] % 6;
  if (format == 5) {
    std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    (void)parse_dest(text);
    auto source = parse_source(text);
    if (source && source->kind == SourceKind::generator)
      for (DType dtype : {dt::f32_, dt::i4_, dt::e8m0_, dt::u64_, dt::bool_})
        (void)load_source(*source, dtype, std::vector<int64_t>{3, 5});
    return 0;
  }
  read_members(blob, format);
  if (auto listing = list_blob(blob))
    sink = listing_text(*listing).size() + listing_json(*listing).size();
  return 0;
}
