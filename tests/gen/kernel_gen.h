// Private to the generator: one kernel in the making.
#pragma once
#include <optional>

#include "isa/builder.h"
#include "tests/gen/random.h"
#include "tests/gen/random_module.h"

namespace tess::gen {

class KernelGen {
 public:
  KernelGen(Rng& rng, Module& module, Kernel& kernel, const GenOptions& options)
      : rng_(rng), m_(module), k_(kernel), b_(kernel), options_(options) {}
  void run(const std::string& name);

 private:
  struct Local {
    uint32_t value;
    bool fixed;  // not to be assigned again
  };
  enum class Use { read, write };

  // --- header
  void header();
  void bindings();
  HostExpr host_expr(int depth);
  HostExpr extent(bool written);
  void scalar_params();
  void tensor_params();

  // --- statements
  void statements(int n);
  void statement();
  void if_statement();
  void for_statement();
  void while_statement();
  void leave();   // break, continue, return or trap in a branch of its own
  void finish();  // launchable: what was computed goes to the results
  bool row(const OpInfo& op);
  bool memory_row(const OpInfo& op);
  bool shape_row(const OpInfo& op);

  // --- strands and asynchronous instructions (rows_async.cpp)
  void async_params();
  void async_declarations();
  bool parallel_statement();
  bool async_row(const OpInfo& op);
  bool arrive_and_wait(Ref use);
  bool group_of(Op commit, Op wait);
  void fit_reduction(std::vector<EmitAttr>& attrs, bool all);
  Ref use_of(uint32_t bars);

  // --- values
  Loc place();
  DType pick_type(TypeClass c);
  Shape shape(int least_rank = 0, int most_rank = 3);
  Shape narrowed(const Shape& s);
  Literal literal(DType t);
  Literal nonzero(DType t);
  Ref scalar(DType t);
  Ref tile(DType t, const Shape& s);
  Ref value(DType t, const Shape& s) { return s.rank ? tile(t, s) : scalar(t); }
  // Small integers, so that sums are exact.
  Ref clean(DType t, const Shape& s);
  Ref operand(const OpInfo& op, DType t, const Shape& s);
  EmitArg value_or_literal(DType t, const Shape& s);
  EmitArg index(int64_t below);
  EmitArg any_index() { return index(8); }

  // --- memory
  std::optional<uint32_t> memory(Use use, DType t = {});
  std::optional<Ref> access(uint32_t base, Use use, bool element);
  Ref whole(uint32_t base);
  bool is_own(uint32_t base) const;  // launchable: indexed by the block first
  EmitArg mask(const Shape& s);
  Shape access_shape(Ref access) const { return b_.type_of(access, true).type.shape; }

  // --- instructions
  std::vector<EmitAttr> attributes(const OpInfo& op, int rank, DType type);
  Builder::Emitted emit(Emit e, bool may_assign = true);
  bool emit_row(const OpInfo& op, std::vector<EmitArg> args, std::vector<EmitAttr> attrs,
                std::optional<Type> written = {});
  void add_layout(uint32_t result);
  int64_t layout_of(const Type& t);
  std::string local_name();

  Rng& rng_;
  Module& m_;
  Kernel& k_;
  Builder b_;
  GenOptions options_;
  std::vector<Local> scope_;
  std::vector<uint32_t> own_;  // launchable: parameters indexed by the block first
  uint32_t block_id_ = 0;
  uint32_t lock_word_ = 0;
  int64_t blocks_ = 1;
  int depth_ = 0, loops_ = 0, names_ = 0;
  uint32_t line_ = 1, file_ = 0;
  // Of kernels with asynchronous copies: a tensor, shared tiles and mbarriers, and the peer's.
  bool has_async_ = false, in_strand_ = false;
  int64_t strand_begin_ = 0, strand_warps_ = 0;
  DType box_type_, factor_;
  uint32_t box_ = 0, tile_ = 0, bars_ = 0, words_ = 0, left_ = 0, right_ = 0;
  uint32_t peer_bars_ = 0, peer_words_ = 0, peer_tile_ = 0;
};

}  // namespace tess::gen
