target triple = "nvptx64-nvidia-cuda"
@fmt = private constant [12 x i8] c"row %d: %f\0A\00"
@table = internal addrspace(4) constant [4 x i32] [i32 1, i32 2, i32 3, i32 4]
@tile = internal addrspace(3) global [64 x float] undef, align 16
@counter = weak addrspace(1) global i32 0
declare i32 @vprintf(ptr, ptr)
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier0()
define weak float @twice(float %x) noinline !dbg !20 {
  %r = fadd float %x, %x, !dbg !21
  ret float %r, !dbg !21
}
define { i32, float } @pair(i32 %i, [3 x i32] %a) noinline !dbg !25 {
  %e = extractvalue [3 x i32] %a, 1
  %s = add i32 %i, %e, !dbg !26
  %f = sitofp i32 %s to float
  %r0 = insertvalue { i32, float } undef, i32 %s, 0
  %r1 = insertvalue { i32, float } %r0, float %f, 1
  ret { i32, float } %r1
}
define void @k(ptr addrspace(1) %p, i32 %n, ptr byval([8 x i32]) %big) !dbg !5 {
entry:
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x(), !dbg !8
  %c = icmp slt i32 %t, %n, !dbg !8
  br i1 %c, label %then, label %done, !dbg !8
then:
  %i = zext i32 %t to i64
  %a = getelementptr float, ptr addrspace(1) %p, i64 %i
  %v = load float, ptr addrspace(1) %a, !dbg !9
  %d = call float @twice(float %v), !dbg !10
  %arr = insertvalue [3 x i32] zeroinitializer, i32 7, 1
  %pr = call { i32, float } @pair(i32 %t, [3 x i32] %arr), !dbg !10
  %f = extractvalue { i32, float } %pr, 1
  %m = and i32 %t, 3
  %mi = zext i32 %m to i64
  %ta = getelementptr [4 x i32], ptr addrspace(4) @table, i64 0, i64 %mi
  %tv = load i32, ptr addrspace(4) %ta
  %bg = getelementptr [8 x i32], ptr %big, i64 0, i64 %mi
  %bv = load i32, ptr %bg
  %sum0 = add i32 %tv, %bv
  %sf = sitofp i32 %sum0 to float
  %x0 = fadd float %d, %f, !dbg !10
  %x1 = fadd float %x0, %sf, !dbg !10
  %sa = getelementptr [64 x float], ptr addrspace(3) @tile, i64 0, i64 %i
  store float %x1, ptr addrspace(3) %sa, !dbg !9
  %y = call float asm "mov.b32 $0, $1;", "=f,f"(float %x1), !dbg !12
  call void @llvm.nvvm.barrier0()
  store float %y, ptr addrspace(1) %a, !dbg !14
  %old = atomicrmw add ptr addrspace(1) @counter, i32 1 monotonic
  %z = icmp eq i32 %t, 0
  br i1 %z, label %print, label %done
print:
  %buf = alloca { i32, double }, align 8
  store i32 %t, ptr %buf
  %b1 = getelementptr { i32, double }, ptr %buf, i32 0, i32 1
  %yd = fpext float %y to double
  store double %yd, ptr %b1
  %rr = call i32 @vprintf(ptr @fmt, ptr %buf), !dbg !14
  br label %done
done:
  ret void, !dbg !14
}
!nvvm.annotations = !{!0, !1}
!0 = !{ptr @k, !"kernel", i32 1}
!1 = !{ptr @k, !"maxntidx", i32 64}
!llvm.dbg.cu = !{!2}
!llvm.module.flags = !{!30, !31}
!2 = distinct !DICompileUnit(language: DW_LANG_C, file: !3, producer: "x", isOptimized: false, runtimeVersion: 0, emissionKind: FullDebug)
!3 = !DIFile(filename: "rows.vmasm", directory: "/src")
!4 = !DISubroutineType(types: !{null})
!5 = distinct !DISubprogram(name: "k", scope: !3, file: !3, line: 10, type: !4, unit: !2, spFlags: DISPFlagDefinition)
!6 = distinct !DISubprogram(name: "inner", scope: !3, file: !3, line: 40, type: !4, unit: !2, spFlags: DISPFlagDefinition)
!7 = distinct !DILocation(line: 15, column: 3, scope: !5)
!8 = !DILocation(line: 11, column: 3, scope: !5)
!9 = !DILocation(line: 12, column: 3, scope: !5)
!10 = !DILocation(line: 41, column: 5, scope: !6, inlinedAt: !7)
!12 = !DILocation(line: 13, column: 3, scope: !5)
!14 = !DILocation(line: 16, column: 3, scope: !5)
!20 = distinct !DISubprogram(name: "twice", scope: !3, file: !3, line: 30, type: !4, unit: !2, spFlags: DISPFlagDefinition)
!21 = !DILocation(line: 31, column: 2, scope: !20)
!25 = distinct !DISubprogram(name: "pair", scope: !3, file: !3, line: 35, type: !4, unit: !2, spFlags: DISPFlagDefinition)
!26 = !DILocation(line: 36, column: 2, scope: !25)
!30 = !{i32 2, !"Debug Info Version", i32 3}
!31 = !{i32 2, !"Dwarf Version", i32 2}
