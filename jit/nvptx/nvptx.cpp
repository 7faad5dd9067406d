#include "jit/nvptx/nvptx.h"

#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/AsmParser/Parser.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/LoopRotation.h>
#include <llvm/Transforms/Scalar/LoopUnrollPass.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include <chrono>
#include <functional>
#include <mutex>

#include "isa/diag/jit.h"
#include "jit/nvptx/llvm_module.h"

extern "C" {
void LLVMInitializeNVPTXTarget();
void LLVMInitializeNVPTXTargetInfo();
void LLVMInitializeNVPTXTargetMC();
void LLVMInitializeNVPTXAsmPrinter();
}

namespace tess::jit {
namespace {

constexpr const char* kTriple = "nvptx64-nvidia-cuda";
// The newest PTX that LLVM 19 writes; every form needs less.
constexpr const char* kFeatures = "+ptx85";

// What LLVM calls fatal arrives here as an exception, since its own next step is to end the
// process.
struct FatalError {
  std::string reason;
};
void throw_fatal(void*, const char* reason, bool) { throw FatalError{reason}; }

void initialise() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    llvm::install_fatal_error_handler(throw_fatal);
  });
}

struct Job {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::TargetMachine> target;
  std::unique_ptr<llvm::Module> module;
  std::string problem;  // LLVM's errors
  llvm::SmallString<0> ptx;
};

void record(const llvm::DiagnosticInfo* info, void* job) {
  if (info->getSeverity() != llvm::DS_Error) return;
  std::string text;
  llvm::raw_string_ostream out(text);
  llvm::DiagnosticPrinterRawOStream printer(out);
  info->print(printer);
  std::string& problem = static_cast<Job*>(job)->problem;
  problem += (problem.empty() ? "" : "\n") + text;
}

bool make_target(Job& job, int arch, const NvptxOptions& options) {
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(kTriple, job.problem);
  if (!target) return false;
  job.target.reset(target->createTargetMachine(
      kTriple, arch_name(arch), kFeatures, {}, llvm::Reloc::Static, {},
      options.full ? llvm::CodeGenOptLevel::Aggressive : llvm::CodeGenOptLevel::Default));
  if (!job.target) job.problem = "no machine for " + arch_name(arch);
  return job.target != nullptr;
}

void optimise(Job& job, const NvptxOptions& options) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(job.target.get());
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  if (options.full) {
    builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(*job.module, modules);
    return;
  }
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::InstCombinePass());
  llvm::LoopPassManager loop_passes;
  loop_passes.addPass(llvm::LoopRotatePass());
  loop_passes.addPass(llvm::LICMPass(llvm::LICMOptions()));
  passes.addPass(
      llvm::createFunctionToLoopPassAdaptor(std::move(loop_passes), /*UseMemorySSA=*/true));
  llvm::LoopUnrollOptions unroll(2, /*OnlyWhenForced=*/true);
  passes.addPass(llvm::LoopUnrollPass(unroll));
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::SimplifyCFGPass());
  for (llvm::Function& f : *job.module)
    if (!f.isDeclaration()) passes.run(f, functions);
}

bool write(Job& job) {
  llvm::raw_svector_ostream out(job.ptx);
  llvm::legacy::PassManager passes;
  if (job.target->addPassesToEmitFile(passes, out, nullptr, llvm::CodeGenFileType::AssemblyFile)) {
    job.problem = "no assembly writer";
    return false;
  }
  passes.run(*job.module);
  return job.problem.empty();
}

// PTX of the module that `make` gives. After a fatal error LLVM's objects are in the middle of
// things: they are kept for ever rather than destroyed.
Result<std::string> compile(int arch, const NvptxOptions& options,
                            const std::function<std::unique_ptr<llvm::Module>(Job&)>& make) {
  initialise();
  auto job = std::make_unique<Job>();
  try {
    job->context.setDiagnosticHandlerCallBack(record, job.get());
    if (make_target(*job, arch, options)) job->module = make(*job);
    if (job->module) {
      job->module->setTargetTriple(kTriple);
      job->module->setDataLayout(job->target->createDataLayout());
      llvm::raw_string_ostream problem(job->problem);
      if (!llvm::verifyModule(*job->module, &problem)) {
        optimise(*job, options);
        if (write(*job)) return job->ptx.str().str();
      }
    }
  } catch (const FatalError& e) {
    job.release();
    return make_diag(diag::nvptx_failed, e.reason);
  }
  return make_diag(diag::nvptx_failed, job->problem);
}

// LLVM 19 has no word for the size of clusters: the directive goes behind the one that it writes.
void add_cluster(std::string& ptx, uint32_t blocks) {
  size_t at = ptx.find("\n.maxntid ");
  if (at == std::string::npos) return;
  ptx.insert(ptx.find('\n', at + 1),
             "\n.explicitcluster\n.reqnctapercluster " + std::to_string(blocks) + ", 1, 1");
}

}  // namespace

bool nvptx_available() { return true; }
std::string nvptx_version() { return "LLVM " LLVM_VERSION_STRING; }

Result<std::string> print_llvm(const BlockKernel& k) {
  llvm::LLVMContext context;
  std::string text;
  llvm::raw_string_ostream out(text);
  out << *llvm_module(context, k);
  return text;
}

Result<Compiled> compile_nvptx(const BlockKernel& k, const NvptxOptions& options) {
  auto start = std::chrono::steady_clock::now();
  Compiled out;
  TESS_TRY(out.image,
           compile(k.arch, options, [&](Job& job) { return llvm_module(job.context, k); }));
  if (k.cluster > 1) add_cluster(out.image, k.cluster);
  out.entry = entry_name(k);
  out.compiler = nvptx_version();
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

Result<std::string> compile_llvm_text(const std::string& ir, int arch,
                                      const NvptxOptions& options) {
  return compile(arch, options, [&](Job& job) {
    llvm::SMDiagnostic error;
    std::unique_ptr<llvm::Module> m = llvm::parseAssemblyString(ir, error, job.context);
    if (!m) job.problem = error.getMessage().str();
    return m;
  });
}

}  // namespace tess::jit
