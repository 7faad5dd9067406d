// What the lowering of one instruction sees of its kernel, and the conventions that all share.
//
// A value in registers is a list of words per thread, in the order of its layout's registers:
//
//   bool                       one predicate an element
//   8 bits and less, 16 bits   packed tightly, little-endian, in b32 words whatever the word
//                              boundaries: element r is bits [r*w, (r+1)*w). So `view` moves
//                              nothing.
//   i32 u32 tf32; f32          one b32; one f32
//   i64 u64; f64               one b64; one f64
//
// Unused bits of the last word have no meaning. A scalar is a tile of one element, the same in
// every thread. A thread beyond the layout's threads holds rubbish; copies (replicas) hold the same
// value.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "isa/layout.h"
#include "isa/verify.h"
#include "jit/lower/emit.h"
#include "jit/lower/flights.h"
#include "jit/lower/lower.h"
#include "jit/tile/facts.h"

namespace tess::jit {

using Words = std::vector<Operand>;

// The same memory layout with strides inside and, where it is linear over F2, a swizzle outside that
// leaves most bits alone: `Sw<3,3,3> o (64,64):(64,1)` rather than one matrix for everything.
Layout swizzle_form(Layout memory);

RegClass word_class(DType t);     // of the words that hold elements of t
RegClass element_class(DType t);  // of one element by itself: b16 for f16 and bf16, else its word's
size_t word_count(DType t, int64_t elements);
int register_bits(DType t);  // of one element in a packed word; 32 or 64 where it has a word

// A layout that tiles have, with what lowering asks of it again and again. Registers count from 0
// to `registers`, threads from 0 within the strand.
struct TileLayout {
  Layout layout;
  int64_t registers = 1, lanes = 1, warps = 1;
  std::vector<std::vector<int64_t>> at;  // by register: the element that thread 0 holds
  bool replicated = false;               // some thread or register holds a copy
  bool linear = false;                   // has a swizzle: coordinates combine by xor, not by sum
  uint32_t id = 0;
};

// A tile in registers; `layout` is null for a scalar.
struct Tile {
  DType type;
  Shape shape;
  const TileLayout* layout = nullptr;
  Words words;
  int64_t elements() const { return layout ? layout->registers : 1; }
};

// Memory that can be indexed: a tensor, a shared tile, or a part of one. Dimension d of it is
// dimension dim[d] of the storage, whose coordinates begin at `start`. Numbers of elements are b32
// where they are known to be below 2^31 (an i32 scalar), else b64.
struct MemoryView {
  Space space = Space::global;
  DType type;
  uint32_t root = 0;      // the value it comes from: a parameter, workspace or shared tile
  Operand base;           // address of the storage: b64 (global), or b32 (shared)
  int64_t alignment = 1;  // bytes that base is a multiple of
  std::vector<int> dim;
  std::vector<Operand> extent;  // by dimension of the view: its bounds
  // The same: coordinates below are not there, b64, at most the extent; empty: all 0.
  std::vector<Operand> first;
  // By dimension of the storage.
  std::vector<Operand> start;
  std::vector<int64_t> start_divisor;  // known divisors; of a constant 0, 2^30
  std::vector<Operand> stride;         // in elements: global only
  std::vector<int64_t> stride_divisor;
  // Of a tensor that ends within its shape (`alias`): only the elements [room_begin, room_begin +
  // room) from the base are there, b64; none: all of them.
  Operand room_begin, room;
  int64_t room_divisor = 1;
  bool ends() const { return room.kind != Operand::Kind::none; }
  const Layout* memory = nullptr;  // shared: storage coordinates -> element offset
  // The use number of the ring's slot, if it may be negative: then nothing is there.
  Operand use;
  bool may_lack_slot() const { return use.kind != Operand::Kind::none; }
  bool remote = false;             // in a peer block's shared memory
  int rank() const { return static_cast<int>(dim.size()); }
};

// The part of a view that an access names, with what must be checked of each of its dimensions:
// origin + coordinate below extent, as unsigned numbers. Both count from the first that is there.
struct Bound {
  int dim = -1;            // of the part; -1: a point
  Operand origin, extent;  // of one class
  int64_t origin_divisor = 1, extent_divisor = 1;
};
struct Part {
  MemoryView view;
  std::vector<Bound> bounds;  // those that are not known to hold
  int gather_dim = -1;        // of the part: its coordinates are looked up in `gather`
  Tile gather;
  Shape shape;
};

// The warps that run the present code. Strands of one section run the same code, each with its own
// `number`.
struct StrandContext {
  uint32_t first_warp = 0, warps = 4;  // of the section; of one strand
  uint32_t strands = 1;
  uint32_t first_number = 0;  // of the section's strands in the block; 0 is the one it starts with
  Operand number;             // b32: which strand of the section
  Operand barrier;  // b32: the hardware barrier its threads meet at; the block's is 0
  bool whole_block = true;
  bool one_thread = false;     // its first thread does everything
  static constexpr uint32_t kNoScratch = ~0u;
  uint32_t section = kNoScratch;  // whose scratch memory it uses; kNoScratch: the block's
};

class Lowering {
 public:
  Lowering(const VerifiedModule& module, size_t kernel, const LowerOptions& options, Lowered& out);
  Status run();

  const Kernel& kernel() const { return k_; }
  const KernelInfo& info() const { return info_; }
  const LowerOptions& options() const { return options_; }
  int arch() const { return options_.arch; }
  bool has_arch(int least) const { return options_.arch >= least; }
  Emit& emit() { return e_; }
  const tile::Facts& facts() const { return facts_; }

  // --- the instruction being lowered
  uint32_t pc() const { return pc_; }
  const Inst& inst() const { return k_.code[pc_]; }
  size_t n_args() const { return inst().n_args; }
  size_t n_results() const { return inst().n_results; }
  Ref arg_ref(size_t i) const { return k_.args(inst())[i]; }
  bool has_arg(size_t i) const { return i < n_args() && !arg_ref(i).is_none(); }
  std::optional<int64_t> attr(AttrTag tag) const { return k_.attr(inst(), tag); }
  bool has(AttrTag tag) const { return k_.has(inst(), tag); }
  int dim(int rank, int fallback) const {
    int64_t d = attr(AttrTag::dim).value_or(fallback);
    return static_cast<int>(d < 0 ? d + rank : d);
  }
  uint32_t result_value(size_t i = 0) const { return k_.results(inst())[i].index(); }
  const Type& result_type(size_t i = 0) const { return k_.values[result_value(i)].type; }
  const TileLayout* result_layout(size_t i = 0) { return layout_of(result_value(i)); }

  Tile arg(size_t i) { return tile_of(arg_ref(i)); }
  Operand scalar(size_t i) { return tile_of(arg_ref(i)).words[0]; }  // its one word
  // The result's words, in its layout.
  void set(size_t result, Words words);
  void set_value(uint32_t value, Words words);
  // A variable that lives for one block of control only (a loop's counter).
  void bind(uint32_t value, Words words);
  // Paths meet here: what was read from variables before is no longer known.
  void forget_scalars();

  // --- values
  Tile tile_of(Ref r);
  Operand index_of(Ref r);  // an integer scalar: b32 if it is an i32, else b64
  Operand wide(Operand index) { return index.type == RegClass::b32 ? e_.sext(index) : index; }
  // A sum of two such numbers.
  Operand index_add(Operand a, Operand b);
  Operand host_value(const HostExpr& e);  // b32 if it is an i32 scalar or a small constant
  int64_t host_divisor(const HostExpr& e) const;
  const TileLayout* layout_of(uint32_t value);
  // The layout by its text in Module::layouts; interned.
  const TileLayout* layout_at(int64_t index);
  const TileLayout* intern(const Layout& l);
  Tile constant_tile(Constant c);

  // --- elements of words (words.cpp)
  // Element by element: bool as predicates, integers below 32 bits extended to b32, floats of 8
  // bits or less as their codes in b32, f16 and bf16 as b16.
  std::vector<Operand> elements(DType t, const Words& words, int64_t n);
  Words pack(DType t, const std::vector<Operand>& elements);
  // Code of a constant as one word, with the code repeated in a packed word.
  Operand splat(DType t, uint64_t code);
  // A scalar's word with its element repeated in every place of a packed word.
  Operand splat_word(DType t, Operand word);

  // --- layouts (tile_map.cpp)
  // For each register of `to`, the register of `from` that holds, in the same thread, the element
  // which `project` makes of its coordinates (null: the same). Empty if some thread would need
  // another thread's element.
  std::vector<int64_t> register_map(
      const TileLayout& to, const TileLayout& from,
      const std::function<std::vector<int64_t>(const std::vector<int64_t>&)>& project = {});
  // Registers of `t` moved to the places that `map` says.
  Words permuted(DType t, const Words& words, int64_t n, const std::vector<int64_t>& map);
  // An operand as an elementwise instruction needs it: broadcast to `shape` in `layout`.
  Words broadcast_words(const Tile& t, const Shape& shape, const TileLayout* layout);
  // The part of coordinate `dim` that depends on the thread (b32), registers adding `at[r]`.
  Operand thread_coordinate(const TileLayout& l, int dim);
  // Whether this thread holds elements at all, and is the first of those that hold copies of its
  // registers; a constant true where all do.
  Operand holds_elements(const TileLayout& l);
  Operand is_first_copy(const TileLayout& l);

  // Loops: what the latch adds to which variable, and the turns left if those are counted.
  struct Loop {
    Operand counter, step, left;
  };
  void open_loop(Loop loop) { loops_.push_back(loop); }
  Loop close_loop() {
    Loop loop = loops_.back();
    loops_.pop_back();
    return loop;
  }

  // --- threads
  const StrandContext& strand() const { return strand_; }
  Operand thread();  // within the strand
  Operand lane();
  Operand warp();  // within the strand
  void barrier();  // all threads of the strand
  // The first thread's word in every thread of the strand.
  Operand from_first_thread(Operand word);
  // Strands (strands.cpp).
  void begin_parallel();
  void end_parallel();
  void begin_section();
  void end_section();
  // What threads of this strand wrote is seen by asynchronous copies and wgmma after they meet; a
  // no-op where the strand writes nothing that such an operation touches.
  void publish();
  const Flights& flights();
  // Variables for a wgmma's result: the value's own, read only where the program may read it.
  Words accumulator_variables(uint32_t value);
  const std::vector<Operand>* accumulators_of(uint32_t pc) const;
  void set_accumulators(uint32_t pc, std::vector<Operand> variables) {
    accumulators_[pc] = std::move(variables);
  }
  // A hidden parameter of the launch; the index of an equal one if there is one.
  uint32_t hidden_param(ParamKind kind, uint32_t source, const char* name);
  uint32_t tensor_map(TensorMapNeed need);

  // A layout for a tile that no instruction gave one: wide accesses along the last dimension.
  const TileLayout* any_layout(const Shape& shape);
  // Address of shared memory for this instruction alone, reused by others of the strand: barriers
  // are the user's.
  Operand scratch(uint32_t bytes);
  uint32_t shared_place(uint32_t value) const { return shared_place_[value]; }
  // Where the table lies from the kernel's entry on, if it does (codebooks.cpp).
  std::optional<Operand> codebook_at(Ref table);

  // --- memory (memory_view.cpp)
  const Layout* memory_layout(uint32_t value);  // of a shared tile: all dimensions, rings too
  MemoryView view_of(uint32_t value, Ref item = Ref::none());
  Part part_of(const Access& a);
  Part part_of_arg(size_t i);  // an access, or a whole tensor or shared tile
  // The bound of dimension d of a view for what begins at `at`; its divisors are not set.
  Bound bound_of(const MemoryView& v, size_t d, Operand at);
  Operand has_slot(const MemoryView& v);  // a predicate
  void set_view(size_t result, MemoryView view);
  // A layout that lives as long as the lowering.
  const Layout* keep(Layout layout) {
    memory_layouts_.push_back(swizzle_form(std::move(layout)));
    return &memory_layouts_.back();
  }

  // --- guard mode (guard.h)
  Operand fault_record();
  Operand fuel() const { return fuel_; }

  // --- failing
  void fail(Diagnostic d);
  void unsupported(std::string what, std::string hint = {});  // E1100 at this instruction
  void broken(std::string what);                              // a mistake of ours
  bool failed() const { return failed_; }

 private:
  struct Binding {
    bool set = false;
    Words words;  // of a variable: the variables themselves
    std::optional<MemoryView> view;
    // A scalar variable's value now, while no other path can have changed it.
    std::optional<Operand> now;
    uint32_t now_scope = 0;
  };
  void find_variables();
  void bind_params();
  Status check_arch() const;
  void fill_up();  // guard.cpp
  void plan_shared();  // control.cpp
  void find_codebooks();
  void fill_codebooks();
  void find_async_memory();
  void place_scratch();
  bool runs_in_one_thread(uint32_t begin, uint32_t end) const;
  void lower_inst();
  Binding& variable_of(uint32_t value);
  Tile shape_of(uint32_t value);  // without words

  const VerifiedModule& vm_;
  const Module& m_;
  const Kernel& k_;
  const KernelInfo& info_;
  const LowerOptions& options_;
  Lowered& out_;
  Emit e_;
  tile::Facts facts_;
  std::deque<Layout> written_;
  std::vector<const TileLayout*> by_index_;
  std::deque<TileLayout> pool_;
  std::deque<Layout> memory_layouts_;
  std::vector<uint32_t> shared_place_;  // by value: byte offset of a shared tile
  struct Codebook {
    DType type;
    std::vector<uint64_t> codes;
    uint32_t place = 0;
  };
  static constexpr uint32_t kNoCodebook = ~0u;
  std::vector<Codebook> codebooks_;
  std::vector<uint32_t> codebook_of_;  // by value
  std::map<std::string, const TileLayout*> by_form_;
  std::map<std::pair<uint32_t, uint32_t>, std::vector<int64_t>> same_maps_;
  std::vector<int64_t> value_layout_;  // by value: index in Module::layouts, -1 none
  std::vector<Binding> bindings_;
  std::vector<bool> is_variable_;
  StrandContext strand_;
  StrandContext block_;                    // outside of all sections
  std::vector<uint32_t> section_scratch_;  // bytes of one strand, by section
  std::vector<uint32_t> section_strands_;
  std::vector<uint32_t> free_barriers_;
  uint32_t next_strand_ = 1;
  Operand fuel_;                    // guard mode: a variable
  uint32_t entry_registers_ = 0;    // of a thread, where a section says `regs`
  std::vector<uint32_t> publishes_;  // by section's pc: whether it writes what async operations touch
  std::optional<Flights> flights_;
  std::map<uint32_t, std::vector<Operand>> accumulators_;  // by pc of a wgmma
  std::vector<Loop> loops_;
  uint32_t pc_ = 0;
  uint32_t scratch_at_ = 0, scratch_bytes_ = 0;
  bool failed_ = false;
  std::optional<Diagnostic> error_;
};

// Before the instruction: waits for wgmma whose results it touches (wgmma.cpp).
void settle_wgmma(Lowering& l);

// One specialisation per row of isa.def, each defined with LOWER(id) in the file of its class. The
// primary template has no definition, so a row without a lowering does not link.
template <Op op>
void lower(Lowering& l);
#define INST(id, ...) \
  template <>         \
  void lower<Op::id>(Lowering&);
#include "isa/isa.def"
#undef INST
#define LOWER(id) \
  template <>     \
  void lower<Op::id>([[maybe_unused]] Lowering & l)

}  // namespace tess::jit
