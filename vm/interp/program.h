// A kernel decoded for one launch: a flat list of steps with every operand resolved to a place in
// the register file. Made once per launch, then read by all threads.
//
//   register file   [constants and scalar parameters | scalars | hidden scalars | tiles]
//
// Every value has a place; tiles whose lifetimes do not touch share one. A register holds the value
// as a row-major carrier array (isa/dtypes.h).
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "vm/interp/state.h"

namespace tess::interp {

struct Step {
  Exec exec = nullptr;
  const void* decoded = nullptr;
  uint32_t pc = 0;     // the instruction
  uint32_t count = 1;  // instructions that it stands for
};

inline constexpr uint64_t kNoRegister = ~uint64_t{0};

// A register operand.
struct Operand {
  uint64_t reg = kNoRegister;  // byte offset in the register file
  DType type;
  Shape shape;
  int64_t n = 0;  // elements

  explicit operator bool() const { return reg != kNoRegister; }
  int bytes() const { return carrier_bytes(carrier_of(type)); }
  int64_t size() const { return n * bytes(); }
  template <class T>
  T* in(const Strand& s) const {
    return reinterpret_cast<T*>(s.regs + reg);
  }
  uint8_t* at(const Strand& s) const { return s.regs + reg; }
};

// An index or scalar integer operand's value.
int64_t read_int(const Strand& s, const Operand& o);

// An operand that names memory: a view, an element of a list, or part of one (memory_access.cpp).
struct AccessPlan {
  struct Position {
    IndexKind kind;
    Operand start, stop;
    int64_t extent = 0;
    bool gather = false;
  };
  uint32_t base = 0;  // value
  bool is_param = false;
  Operand item;
  int n_positions = 0;
  Position position[limits::max_rank];
  DType type;
  Type base_type;
};

struct Program {
  const Kernel* kernel = nullptr;
  const Module* module = nullptr;
  std::vector<Step> steps;
  std::vector<uint32_t> first_step;          // by instruction, one more at the end
  std::vector<std::shared_ptr<void>> owned;  // decoded operands
  std::vector<Operand> place;                // by value; register values only
  uint64_t register_bytes = 0, fixed_bytes = 0;
  std::vector<uint8_t> fixed;  // the initial bytes of constants and scalar parameters
  uint64_t shared_bytes = 0;
  std::vector<uint64_t> shared_place;   // by shared tile: byte offset
  std::vector<uint32_t> shared_values;  // values that `smem` declares
  uint64_t scratch_reg = 0, scratch_bytes = 0;
  std::vector<uint32_t> loop_slot;   // by instruction: of a `for`, its hidden registers (in cells)
  std::vector<uint64_t> poison_reg;  // by value: a byte that says undefined, or kNoRegister
  uint64_t loop_base = 0;
  bool ordered = false;  // blocks must run one at a time (README: order)
  bool cooperative = false;
  bool has_alias = false;

  // Strands and what is asynchronous (unit.h).
  bool tracked = false;            // accesses can race inside of a unit
  uint32_t strands_per_block = 1;  // at once
  uint64_t scalar_bytes =
      0;  // of the register file: what strands get from the one that starts them
  struct MbarValue {
    uint32_t value, slots, count;
  };
  std::vector<MbarValue> mbar_values;
  uint32_t mbar_slots = 0;  // of all of them
  std::vector<uint64_t>
      wgmma_reg;  // by value: the clock of the `wgmma` that makes it, or kNoRegister

  const Inst& inst(uint32_t pc) const { return kernel->code[pc]; }
};

// A section of `parallel`, by the instruction that opens it.
struct SectionShape {
  uint32_t warps = 0, strands = 1;  // of each strand; how many
};
SectionShape section_of(const Kernel& k, uint32_t pc);

// Decodes; the error is a coded one (memory, or an instruction that cannot run yet).
Result<std::unique_ptr<Program>> decode(const VerifiedModule& module, size_t kernel,
                                        const BoundLaunch& launch, const Options& options);

// --- elementwise work
//
// An elementwise instruction is a loop over strips: n consecutive elements of the result, with the
// operands already broadcast. Neighbouring ones over as many elements become one step that runs
// them strip by strip, so that what passes between them stays in the first cache (fuse.cpp).

enum class StripError : uint8_t { none, divide_by_zero, nowrap, table_range };
struct StripArgs {
  void* d;
  const void* in[3];
  size_t n;
  DType type;  // of the operands
  DType result;
  const void* extra;  // of the loop
  const uint8_t* regs;
};
using StripFn = StripError (*)(const StripArgs&);
struct Micro {
  StripFn fn = nullptr;
  Operand d, in[3];
  int n_in = 0;
  DType type;
  const void* extra = nullptr;
  uint32_t pc = 0;
  bool may_overwrite = false;  // the loop allows its result to be one of its operands
  bool is_copy = false;  // the operand's elements in order: nothing to do if it shares its place
};

// What a kernel's bind function sees of its instruction, and where it puts the step.
class Binder {
 public:
  Binder(Program& program, const KernelInfo& info, const Options& options, uint32_t pc)
      : program_(program),
        info_(info),
        options_(options),
        pc_(pc),
        inst_(program.kernel->code[pc]) {}

  const Kernel& kernel() const { return *program_.kernel; }
  const Program& program() const { return program_; }
  const Inst& inst() const { return inst_; }
  const Options& options() const { return options_; }
  uint32_t pc() const { return pc_; }
  uint32_t match() const { return info_.match[pc_]; }
  const ViewMap& view_map() const { return *info_.views.at(pc_); }
  uint32_t match_of(uint32_t pc) const { return info_.match[pc]; }
  bool naive() const { return options_.naive; }

  size_t n_args() const { return inst_.n_args; }
  size_t n_results() const { return inst_.n_results; }
  Ref arg_ref(size_t i) const { return kernel().args(inst_)[i]; }
  bool has_arg(size_t i) const { return i < n_args() && !arg_ref(i).is_none(); }
  Operand arg(size_t i) const { return operand(arg_ref(i)); }
  Operand result(size_t i = 0) const;
  uint32_t result_value(size_t i = 0) const { return kernel().results(inst_)[i].index(); }
  const Type& result_type(size_t i = 0) const { return kernel().values[result_value(i)].type; }
  // Of a value or constant in registers; an empty operand for none.
  Operand operand(Ref r) const;
  // Whether argument i names memory rather than a register.
  bool is_memory(size_t i) const;
  AccessPlan access(size_t i) const;
  std::optional<int64_t> attr(AttrTag tag) const { return kernel().attr(inst_, tag); }
  bool has(AttrTag tag) const { return kernel().has(inst_, tag); }
  // The `dim` attribute against a rank, or `fallback`.
  int dim(int rank, int fallback) const {
    int64_t d = attr(AttrTag::dim).value_or(fallback);
    return static_cast<int>(d < 0 ? d + rank : d);
  }
  // Fresh register space for this instruction alone.
  uint64_t scratch(uint64_t bytes);
  // Where the hidden scalars of the loop at `pc` live (two i64).
  uint64_t loop_registers(uint32_t pc) const;
  // Results go to other registers and are copied afterwards, so that `f` may read operands freely.
  void emit(Exec f, const void* decoded) { steps_.push_back({f, decoded, pc_, 1}); }
  template <auto F, class Decoded>
  void emit(Decoded decoded) {
    auto owner = std::make_shared<Decoded>(std::move(decoded));
    const void* p = owner.get();
    program_.owned.push_back(std::move(owner));
    emit([](Strand& s, const void* d) { return F(s, *static_cast<const Decoded*>(d)); }, p);
  }
  // The instruction as elementwise work over its result; instead of emit().
  void elementwise(Micro m) {
    m.pc = pc_;
    micro_ = m;
  }
  // Memory that lives as long as the program.
  template <class T>
  const T* keep(T value) {
    auto owner = std::make_shared<T>(std::move(value));
    program_.owned.push_back(owner);
    return owner.get();
  }
  void fail(Diagnostic d) {
    if (!error_) error_ = std::move(d);
  }
  const std::optional<Diagnostic>& error() const { return error_; }

 private:
  friend struct Decoder;
  Program& program_;
  const KernelInfo& info_;
  const Options& options_;
  uint32_t pc_;
  const Inst& inst_;
  Operand redirected_[limits::max_results];  // results that alias an operand
  uint64_t scratch_used_ = 0;
  std::vector<Step> steps_;
  std::optional<Micro> micro_;
  std::optional<Diagnostic> error_;
};

// The kernels: one specialisation of bind per row of isa.def, each defined with KERNEL(id). The
// primary template has no definition, so a row without a kernel does not link.
template <Op op>
void bind(Binder& b);
#define INST(id, ...) \
  template <>         \
  void bind<Op::id>(Binder&);
#include "isa/isa.def"
#undef INST
#define KERNEL(id) \
  template <>      \
  void bind<Op::id>([[maybe_unused]] Binder & b)

// Instructions whose kernels call Binder::elementwise on register operands.
bool may_fuse(const Kernel& k, const Inst& inst);
// One step for the micros, in order, all over the same number of elements. `stored[i]`: whether
// micro i's result is seen by anything else.
Step make_group(Program& program, std::vector<Micro> micros, std::vector<bool> stored);

// --- memory operands (memory_access.cpp)
// The whole of a memory operand, or its part, as a region / as a view.
Flow resolve(Strand& s, const AccessPlan& plan, Region& out);
Flow resolve_view(Strand& s, const AccessPlan& plan, View& out);
// The base view without its positions; null (after a trap) if a list index is out of range.
const View* base_view(Strand& s, const AccessPlan& plan);

}  // namespace tess::interp
