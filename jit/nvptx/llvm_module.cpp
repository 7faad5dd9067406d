#include "jit/nvptx/llvm_module.h"

#include <llvm/BinaryFormat/Dwarf.h>
#include <llvm/IR/DIBuilder.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/IntrinsicsNVPTX.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>

#include <algorithm>

namespace tess::jit {
namespace {

constexpr uint32_t kMaxThreads = 1024;
constexpr int kShared = 3;  // address space

struct Builder {
  llvm::LLVMContext& context;
  llvm::Module& module;
  const BlockKernel& k;
  llvm::IRBuilder<> b;
  llvm::DIBuilder debug;
  llvm::Function* function = nullptr;
  llvm::GlobalVariable* shared = nullptr;
  llvm::DISubprogram* program = nullptr;
  std::vector<llvm::DIScope*> scopes;    // by source file
  std::vector<llvm::AllocaInst*> slots;  // of variables, by register
  std::vector<llvm::Value*> values;      // of the others

  struct Open {
    bool loop = false, has_else = false;
    llvm::BasicBlock *head = nullptr, *next = nullptr, *exit = nullptr;  // if: next is the else
    uint64_t unroll = 0;
  };
  std::vector<Open> open;

  Builder(llvm::Module& m, const BlockKernel& kernel)
      : context(m.getContext()), module(m), k(kernel), b(context), debug(m) {}

  llvm::Type* type_of(RegClass c) {
    switch (c) {
      case RegClass::pred:
        return b.getInt1Ty();
      case RegClass::b16:
        return b.getInt16Ty();
      case RegClass::b32:
        return b.getInt32Ty();
      case RegClass::b64:
        return b.getInt64Ty();
      case RegClass::f32:
        return b.getFloatTy();
      case RegClass::f64:
        return b.getDoubleTy();
    }
    return nullptr;
  }
  static std::string_view constraint(RegClass c) {
    constexpr std::string_view kLetters[] = {"b", "h", "r", "l", "f", "d"};
    return kLetters[static_cast<int>(c)];
  }

  llvm::Value* value(const Operand& o) {
    if (o.is_reg())
      return slots[o.id()] ? b.CreateLoad(type_of(o.type), slots[o.id()]) : values[o.id()];
    if (o.type == RegClass::f32 || o.type == RegClass::f64) {
      bool single = o.type == RegClass::f32;
      return llvm::ConstantFP::get(
          context, llvm::APFloat(single ? llvm::APFloat::IEEEsingle() : llvm::APFloat::IEEEdouble(),
                                 llvm::APInt(single ? 32 : 64, o.bits)));
    }
    auto* type = llvm::cast<llvm::IntegerType>(type_of(o.type));
    return llvm::ConstantInt::get(type, o.bits & type->getBitMask());
  }
  void set(const Operand& to, llvm::Value* v) {
    if (slots[to.id()]) b.CreateStore(v, slots[to.id()]);
    else values[to.id()] = v;
  }
  llvm::BasicBlock* block(const char* name) {
    return llvm::BasicBlock::Create(context, name, function);
  }
  void leave_to(llvm::BasicBlock* target) {
    b.CreateBr(target);
    b.SetInsertPoint(block("unreached"));
  }

  llvm::Value* special(llvm::Intrinsic::ID id, uint64_t below) {
    llvm::CallInst* call = b.CreateIntrinsic(id, {}, {});
    if (below) {
      llvm::MDBuilder md(context);
      call->setMetadata(llvm::LLVMContext::MD_range,
                        md.createRange(llvm::APInt(32, 0), llvm::APInt(32, below)));
    }
    return call;
  }

  llvm::Value* shared_base() {
    if (!shared) {
      shared = new llvm::GlobalVariable(
          module, llvm::ArrayType::get(b.getInt8Ty(), 0), false, llvm::GlobalValue::ExternalLinkage,
          nullptr, "shared_memory", nullptr, llvm::GlobalValue::NotThreadLocal, kShared);
      shared->setAlignment(llvm::Align(1024));
    }
    return b.CreateTrunc(b.CreatePtrToInt(shared, b.getInt64Ty()), b.getInt32Ty());
  }

  // The count of a shift in the type of what is shifted.
  llvm::Value* count(const Operand& o, RegClass c) {
    llvm::Value* n = value(o);
    return c == RegClass::b64 ? b.CreateZExt(n, b.getInt64Ty()) : n;
  }

  llvm::Value* plain(const BlockInst& i) {
    namespace in = llvm::Intrinsic;
    auto args = k.args(i);
    RegClass c = k.results(i)[0].type;
    auto a = [&](size_t n) { return value(args[n]); };
    switch (i.op) {
      case BlockOp::mov:
        return a(0);
      case BlockOp::add:
        return b.CreateAdd(a(0), a(1));
      case BlockOp::sub:
        return b.CreateSub(a(0), a(1));
      case BlockOp::mul:
        return b.CreateMul(a(0), a(1));
      case BlockOp::sdiv:
        return b.CreateSDiv(a(0), a(1));
      case BlockOp::udiv:
        return b.CreateUDiv(a(0), a(1));
      case BlockOp::srem:
        return b.CreateSRem(a(0), a(1));
      case BlockOp::urem:
        return b.CreateURem(a(0), a(1));
      case BlockOp::and_:
        return b.CreateAnd(a(0), a(1));
      case BlockOp::or_:
        return b.CreateOr(a(0), a(1));
      case BlockOp::xor_:
        return b.CreateXor(a(0), a(1));
      case BlockOp::not_:
        return b.CreateNot(a(0));
      case BlockOp::shl:
        return b.CreateShl(a(0), count(args[1], c));
      case BlockOp::lshr:
        return b.CreateLShr(a(0), count(args[1], c));
      case BlockOp::ashr:
        return b.CreateAShr(a(0), count(args[1], c));
      case BlockOp::eq:
        return b.CreateICmpEQ(a(0), a(1));
      case BlockOp::ne:
        return b.CreateICmpNE(a(0), a(1));
      case BlockOp::slt:
        return b.CreateICmpSLT(a(0), a(1));
      case BlockOp::sle:
        return b.CreateICmpSLE(a(0), a(1));
      case BlockOp::ult:
        return b.CreateICmpULT(a(0), a(1));
      case BlockOp::ule:
        return b.CreateICmpULE(a(0), a(1));
      case BlockOp::feq:
        return b.CreateFCmpOEQ(a(0), a(1));
      case BlockOp::fne:
        return b.CreateFCmpUNE(a(0), a(1));
      case BlockOp::flt:
        return b.CreateFCmpOLT(a(0), a(1));
      case BlockOp::fle:
        return b.CreateFCmpOLE(a(0), a(1));
      case BlockOp::sel:
        return b.CreateSelect(a(0), a(1), a(2));
      case BlockOp::zext16:
      case BlockOp::zext:
        return b.CreateZExt(a(0), type_of(c));
      case BlockOp::trunc16:
      case BlockOp::trunc:
        return b.CreateTrunc(a(0), type_of(c));
      case BlockOp::sext:
        return b.CreateSExt(a(0), type_of(c));
      case BlockOp::as_f32:
      case BlockOp::as_b32:
      case BlockOp::as_f64:
      case BlockOp::as_b64:
        return b.CreateBitCast(a(0), type_of(c));
      case BlockOp::tid:
        return special(in::nvvm_read_ptx_sreg_tid_x, std::min(k.threads, kMaxThreads));
      case BlockOp::ctaid_x:
        return special(in::nvvm_read_ptx_sreg_ctaid_x, 0x7fffffff);
      case BlockOp::ctaid_y:
        return special(in::nvvm_read_ptx_sreg_ctaid_y, 65535);
      case BlockOp::ctaid_z:
        return special(in::nvvm_read_ptx_sreg_ctaid_z, 65535);
      case BlockOp::nctaid_x:
        return special(in::nvvm_read_ptx_sreg_nctaid_x, 0x80000000u);
      case BlockOp::nctaid_y:
        return special(in::nvvm_read_ptx_sreg_nctaid_y, 65536);
      case BlockOp::nctaid_z:
        return special(in::nvvm_read_ptx_sreg_nctaid_z, 65536);
      case BlockOp::cluster_rank:
        return k.arch < 90 ? b.getInt32(0) : special(in::nvvm_read_ptx_sreg_cluster_ctarank, 0);
      case BlockOp::param:
        return function->getArg(args[0].bits);
      case BlockOp::param_address:
        return b.CreatePtrToInt(function->getArg(args[0].bits), b.getInt64Ty());
      case BlockOp::shared_address:
        return b.CreateAdd(shared_base(), b.getInt32(args[0].bits));
      default:
        return nullptr;
    }
  }

  void form(const BlockInst& i) {
    auto results = k.results(i), args = k.args(i);
    bool tied = false;
    std::vector<bool> constant(args.size(), false);
    std::vector<int> sizes = group_sizes(*i.form, results.size(), args.size());
    size_t at = 0;
    for (size_t g = 0; g < sizes.size(); ++g) {
      const Group& group = i.form->groups[g];
      tied |= group.kind == GroupKind::tied;
      if (group.result) continue;
      if (group.kind == GroupKind::imm) constant[at] = true;
      if (group.kind == GroupKind::address) constant[at + 1] = true;
      at += static_cast<size_t>(sizes[g]);
    }
    std::string constraints;
    auto constrain = [&](std::string text) {
      constraints += (constraints.empty() ? "" : ",") + text;
    };
    std::vector<std::string> spelling;
    std::vector<llvm::Type*> made, taken;
    std::vector<llvm::Value*> inputs;
    for (const Operand& r : results) {
      spelling.push_back("$" + std::to_string(made.size()));
      constrain("=" + std::string(constraint(r.type)));
      made.push_back(type_of(r.type));
    }
    if (tied)
      for (size_t r = 0; r < results.size(); ++r) {
        constrain(std::to_string(r));
        inputs.push_back(value(results[r]));
      }
    for (size_t a = 0; a < args.size(); ++a) {
      if (constant[a]) {
        spelling.push_back(std::to_string(static_cast<int32_t>(args[a].bits)));
        continue;
      }
      spelling.push_back("$" + std::to_string(results.size() + inputs.size()));
      constrain(std::string(constraint(args[a].type)));
      inputs.push_back(value(args[a]));
    }
    // Without `speculatable` LLVM moves none of them past a condition.
    bool pure = i.form->effect == Effect::pure || i.form->effect == Effect::fetch;
    if (!pure) constrain("~{memory}");
    for (llvm::Value* v : inputs) taken.push_back(v->getType());
    llvm::Type* result = made.empty()       ? b.getVoidTy()
                         : made.size() == 1 ? made[0]
                                            : llvm::StructType::get(context, made);
    auto* type = llvm::FunctionType::get(result, taken, false);
    std::string text =
        form_text(*i.form, results.size(), args.size(), [&](size_t n) { return spelling[n]; });
    llvm::CallInst* call =
        b.CreateCall(type, llvm::InlineAsm::get(type, text, constraints, !pure), inputs);
    call->setDoesNotThrow();
    if (pure) {
      call->setDoesNotAccessMemory();
      call->addFnAttr(llvm::Attribute::WillReturn);
    }
    // What threads execute together may not be moved into or out of a branch.
    if (i.form->effect == Effect::sync || i.form->opcode.find(".sync") != std::string::npos)
      call->setConvergent();
    for (size_t r = 0; r < results.size(); ++r)
      set(results[r], results.size() == 1 ? call : b.CreateExtractValue(call, r));
  }

  llvm::MDNode* unroll_note(uint64_t times) {
    llvm::Metadata* note =
        times == 1
            ? llvm::MDNode::get(context, llvm::MDString::get(context, "llvm.loop.unroll.disable"))
            : llvm::MDNode::get(context, {llvm::MDString::get(context, "llvm.loop.unroll.count"),
                                          llvm::ConstantAsMetadata::get(b.getInt32(times))});
    llvm::MDNode* all = llvm::MDNode::getDistinct(context, {nullptr, note});
    all->replaceOperandWith(0, all);
    return all;
  }
  Open& innermost_loop() {
    return *std::find_if(open.rbegin(), open.rend(), [](const Open& o) { return o.loop; });
  }

  void control(const BlockInst& i) {
    switch (i.op) {
      case BlockOp::loop: {
        Open o{true, false, block("loop"), block("latch"), block("left"), k.args(i)[0].bits};
        b.CreateBr(o.head);
        b.SetInsertPoint(o.head);
        open.push_back(o);
        break;
      }
      case BlockOp::latch:
        b.CreateBr(open.back().next);
        b.SetInsertPoint(open.back().next);
        break;
      case BlockOp::if_: {
        Open o{false, false, block("then"), block("else"), block("joined")};
        b.CreateCondBr(value(k.args(i)[0]), o.head, o.next);
        b.SetInsertPoint(o.head);
        open.push_back(o);
        break;
      }
      case BlockOp::else_:
        open.back().has_else = true;
        b.CreateBr(open.back().exit);
        b.SetInsertPoint(open.back().next);
        break;
      case BlockOp::end: {
        Open o = open.back();
        open.pop_back();
        llvm::BranchInst* back = b.CreateBr(o.loop ? o.head : o.exit);
        if (o.loop && o.unroll) back->setMetadata("llvm.loop", unroll_note(o.unroll));
        if (!o.loop && !o.has_else) {
          b.SetInsertPoint(o.next);
          b.CreateBr(o.exit);
        }
        b.SetInsertPoint(o.exit);
        break;
      }
      case BlockOp::break_if: {
        llvm::BasicBlock* on = block("on");
        b.CreateCondBr(value(k.args(i)[0]), innermost_loop().exit, on);
        b.SetInsertPoint(on);
        break;
      }
      case BlockOp::break_:
        leave_to(innermost_loop().exit);
        break;
      case BlockOp::continue_:
        leave_to(innermost_loop().next);
        break;
      case BlockOp::ret:
        b.CreateRetVoid();
        b.SetInsertPoint(block("unreached"));
        break;
      default:
        break;
    }
  }

  void describe_source() {
    std::vector<std::string> files = k.files;
    if (files.empty()) files.push_back("kernel");
    std::vector<llvm::DIFile*> known;
    for (const std::string& f : files) known.push_back(debug.createFile(f, ""));
    debug.createCompileUnit(llvm::dwarf::DW_LANG_C, known[0], "tessera", true, "", 0, "",
                            llvm::DICompileUnit::DebugDirectivesOnly);
    uint32_t line = k.tiles.size() > 1 ? k.tiles[1].loc.line : 1;
    program = debug.createFunction(
        known[0], function->getName(), "", known[0], line,
        debug.createSubroutineType(debug.getOrCreateTypeArray({})), line, llvm::DINode::FlagZero,
        llvm::DISubprogram::SPFlagDefinition | llvm::DISubprogram::SPFlagOptimized);
    function->setSubprogram(program);
    scopes.push_back(program);
    for (size_t f = 1; f < known.size(); ++f)
      scopes.push_back(debug.createLexicalBlockFile(program, known[f]));
  }
  llvm::DebugLoc place(uint32_t tile) {
    const Loc& loc = k.tiles[tile].loc;
    if (!tile || !loc.line || loc.file >= scopes.size()) return {};
    return llvm::DILocation::get(context, loc.line, loc.col, scopes[loc.file]);
  }

  void annotate() {
    llvm::NamedMDNode* all = module.getOrInsertNamedMetadata("nvvm.annotations");
    auto note = [&](const char* name, llvm::Metadata* value) {
      all->addOperand(llvm::MDNode::get(context, {llvm::ConstantAsMetadata::get(function),
                                                  llvm::MDString::get(context, name), value}));
    };
    auto number = [&](uint32_t n) { return llvm::ConstantAsMetadata::get(b.getInt32(n)); };
    bool sets_registers = std::any_of(k.code.begin(), k.code.end(), [](const BlockInst& i) {
      return i.form && i.form->opcode.starts_with("setmaxnreg");
    });
    note("kernel", number(1));
    note("maxntidx", number(k.threads));
    if (k.max_registers) note("maxnreg", number(k.max_registers));
    // setmaxnreg needs to know how many registers there are at entry.
    else if (uint32_t blocks = std::max<uint32_t>(k.blocks_per_sm, sets_registers ? 1 : 0))
      note("minctasm", number(blocks));
    std::vector<llvm::Metadata*> maps;
    for (size_t p = 0; p < k.params.size(); ++p)
      if (k.params[p].kind == ParamKind::tensor_map) maps.push_back(number(p + 1));
    if (!maps.empty()) note("grid_constant", llvm::MDNode::get(context, maps));
  }

  void declare() {
    std::vector<llvm::Type*> params;
    for (const BlockParam& p : k.params)
      params.push_back(p.kind == ParamKind::tensor_map ? b.getPtrTy() : type_of(p.type));
    function = llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), params, false),
                                      llvm::GlobalValue::ExternalLinkage, entry_name(k), module);
    function->setCallingConv(llvm::CallingConv::PTX_Kernel);
    function->setDoesNotThrow();
    for (size_t p = 0; p < k.params.size(); ++p)
      if (k.params[p].kind == ParamKind::tensor_map) {
        function->addParamAttr(p, llvm::Attribute::getWithByValType(
                                      context, llvm::ArrayType::get(b.getInt8Ty(), 128)));
        function->addParamAttr(p, llvm::Attribute::getWithAlignment(context, llvm::Align(128)));
      }
  }

  void run() {
    declare();
    module.addModuleFlag(llvm::Module::Warning, "Debug Info Version", llvm::DEBUG_METADATA_VERSION);
    describe_source();
    annotate();
    b.SetInsertPoint(block("entry"));
    slots.assign(k.regs.size(), nullptr);
    values.assign(k.regs.size(), nullptr);
    for (RegId r = 0; r < k.regs.size(); ++r)
      if (k.regs[r].variable) slots[r] = b.CreateAlloca(type_of(k.regs[r].type));
    for (const BlockInst& i : k.code) {
      b.SetCurrentDebugLocation(place(i.tile));
      if (i.form) form(i);
      else if (block_op_info(i.op).effect == Effect::control) control(i);
      else set(k.results(i)[0], plain(i));
    }
    b.CreateRetVoid();
    debug.finalize();
  }
};

}  // namespace

std::unique_ptr<llvm::Module> llvm_module(llvm::LLVMContext& context, const BlockKernel& k) {
  auto module = std::make_unique<llvm::Module>("tessera", context);
  Builder(*module, k).run();
  return module;
}

}  // namespace tess::jit
