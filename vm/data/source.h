// Where a parameter's tensor comes from and where a result goes: the SRC and DST of `tess run`
// (ISA.md section 8).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "vm/data/generate.h"
#include "vm/data/tensor.h"

namespace tess {

enum class SourceKind : uint8_t { npy, npz, safetensors, gguf, generator };
struct Source {
  SourceKind kind = SourceKind::generator;
  std::string path, key;  // of a file; key is empty for npy
  GeneratorCall call;     // of a generator
};

enum class DestKind : uint8_t { npy, npz, print };
struct Dest {
  DestKind kind = DestKind::print;
  std::string path, key;
};

// `file.npy`, `file.npz#key`, `file.safetensors#name`, `file.gguf#name`; `zeros`, `ones`,
// `iota[(start, step)]`, `uniform[(seed[, low, high])]`, `normal[(seed[, mean, deviation])]`,
// `const(value)`. The key begins at the first '#' after the ending. Opens nothing.
Result<Source> parse_source(std::string_view text);
// `file.npy`, `file.npz#key` or `-`. Opens nothing.
Result<Dest> parse_dest(std::string_view text);

// A row-major tensor of exactly this type and shape. From a file it borrows the mapped bytes where
// it can (read-only; at the file's offset, which may be no multiple of the element); from a generator it is new (writable).
// `default_seed` serves generators written without a seed.
Result<HostTensor> load_source(const Source& source, DType dtype, std::span<const int64_t> shape,
                               uint64_t default_seed = 0);
// The tensor as the file declares it, before binding; the way to learn a shape. Not for generators.
Result<HostTensor> open_source(const Source& source);

// Writes a file whole or not at all. For `print` nothing is written: the caller shows
// format_tensor.
Status save_dest(const Dest& dest, const HostTensor& tensor);

}  // namespace tess
