// Tables of constants that `lookup` reads lie in shared memory from the kernel's entry on, once
// each, so that neither a loop nor a second lookup copies them again.
#include <algorithm>

#include "jit/lower/scratch_array.h"
#include "jit/tile/webs.h"

namespace tess::jit {
namespace {

bool is_constant_table(const Kernel& k, const Inst& inst) {
  auto args = k.args(inst);
  return inst.op == Op::table && static_cast<int64_t>(args.size()) > kMostSelected &&
         std::all_of(args.begin(), args.end(), [](Ref r) { return r.is_constant(); });
}

}  // namespace

void Lowering::find_codebooks() {
  codebook_of_.assign(k_.values.size(), kNoCodebook);
  std::vector<uint32_t> writers(k_.values.size(), 0), lookups(writers), readers(writers);
  std::vector<tile::Use> uses;
  for (const Inst& inst : k_.code) {
    for (Ref r : k_.results(inst)) ++writers[r.index()];
    uses.clear();
    tile::uses_of(k_, inst, uses);
    for (const tile::Use& u : uses) {
      ++readers[u.value];
      lookups[u.value] += inst.op == Op::lookup && u.place.arg == 1;
    }
  }
  for (const Inst& inst : k_.code) {
    if (!is_constant_table(k_, inst)) continue;
    uint32_t v = k_.results(inst)[0].index();
    if (writers[v] != 1 || !lookups[v] || lookups[v] != readers[v]) continue;
    Codebook book;
    book.type = k_.values[v].type.dtype;
    for (Ref r : k_.args(inst)) book.codes.push_back(k_.constants[r.index()].code);
    auto same = std::find_if(codebooks_.begin(), codebooks_.end(), [&](const Codebook& c) {
      return c.type == book.type && c.codes == book.codes;
    });
    codebook_of_[v] = static_cast<uint32_t>(same - codebooks_.begin());
    if (same != codebooks_.end()) continue;
    book.place = scratch_at_;
    int64_t bytes = element_bytes(book.type) * static_cast<int64_t>(book.codes.size());
    scratch_at_ += static_cast<uint32_t>((bytes + 127) / 128 * 128);
    codebooks_.push_back(std::move(book));
  }
}

void Lowering::fill_codebooks() {
  if (codebooks_.empty()) return;
  e_.begin_if(e_.eq(thread(), b32(0)));
  for (const Codebook& book : codebooks_) {
    ScratchArray array(*this, book.type, e_.shared_address(book.place));
    for (size_t i = 0; i < book.codes.size(); ++i) {
      Tile entry = constant_tile({book.type, book.codes[i]});
      array.store(b32(i), elements(book.type, entry.words, 1)[0]);
    }
  }
  e_.end();
  barrier();
}

std::optional<Operand> Lowering::codebook_at(Ref table) {
  if (!table.is_value() || codebook_of_[table.index()] == kNoCodebook) return {};
  return e_.shared_address(codebooks_[codebook_of_[table.index()]].place);
}

}  // namespace tess::jit
