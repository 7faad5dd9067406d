; What plain scalar and vector code becomes: intrinsics, vector loads, a switch, a local array,
; recursion, an indirect call, 64-bit and half arithmetic, a loop with metadata.
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare float @llvm.fma.f32(float, float, float)
declare float @llvm.sqrt.f32(float)
declare i32 @llvm.ctpop.i32(i32)
declare i32 @llvm.ctlz.i32(i32, i1)
declare i64 @llvm.bitreverse.i64(i64)
declare i32 @llvm.smax.i32(i32, i32)
declare i32 @llvm.fshl.i32(i32, i32, i32)
declare i32 @llvm.uadd.sat.i32(i32, i32)
define i32 @fib(i32 %n) noinline {
  %c = icmp slt i32 %n, 2
  br i1 %c, label %base, label %more
base:
  ret i32 %n
more:
  %a = sub i32 %n, 1
  %b = sub i32 %n, 2
  %x = call i32 @fib(i32 %a)
  %y = call i32 @fib(i32 %b)
  %s = add i32 %x, %y
  ret i32 %s
}
define i32 @triple(i32 %x) noinline {
  %r = mul i32 %x, 3
  ret i32 %r
}
define void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
entry:
  %local = alloca [8 x i32], align 16
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %ti = zext i32 %t to i64
  %pv = getelementptr <4 x i32>, ptr addrspace(1) %in, i64 %ti
  %v = load <4 x i32>, ptr addrspace(1) %pv, align 16
  %v0 = extractelement <4 x i32> %v, i32 0
  %v1 = extractelement <4 x i32> %v, i32 1
  %v2 = extractelement <4 x i32> %v, i32 2
  %v3 = extractelement <4 x i32> %v, i32 3
  %pop = call i32 @llvm.ctpop.i32(i32 %v0)
  %clz = call i32 @llvm.ctlz.i32(i32 %v1, i1 false)
  %wide = zext i32 %v2 to i64
  %rev = call i64 @llvm.bitreverse.i64(i64 %wide)
  %revh = lshr i64 %rev, 32
  %rev32 = trunc i64 %revh to i32
  %max = call i32 @llvm.smax.i32(i32 %v3, i32 %v0)
  %rot = call i32 @llvm.fshl.i32(i32 %v1, i32 %v1, i32 7)
  %sat = call i32 @llvm.uadd.sat.i32(i32 %v2, i32 %v3)
  br label %loop
loop:
  %i = phi i32 [ 0, %entry ], [ %i2, %loop ]
  %slot = getelementptr [8 x i32], ptr %local, i32 0, i32 %i
  %sq = mul i32 %i, %t
  store i32 %sq, ptr %slot
  %i2 = add i32 %i, 1
  %go = icmp slt i32 %i2, 8
  br i1 %go, label %loop, label %after, !llvm.loop !9
after:
  %pick = and i32 %v0, 7
  %ps = getelementptr [8 x i32], ptr %local, i32 0, i32 %pick
  %lv = load i32, ptr %ps
  %which = and i32 %t, 3
  switch i32 %which, label %d [ i32 0, label %s0
                                i32 1, label %s1
                                i32 2, label %s2 ]
s0:
  br label %join
s1:
  %f1 = call i32 @fib(i32 9)
  br label %join
s2:
  %odd = icmp ugt i32 %t, 15
  %fp = select i1 %odd, ptr @triple, ptr @fib
  %f2 = call i32 %fp(i32 7)
  br label %join
d:
  %q = sdiv i32 %v0, 7
  br label %join
join:
  %sw = phi i32 [ 11, %s0 ], [ %f1, %s1 ], [ %f2, %s2 ], [ %q, %d ]
  %h16 = trunc i32 %t to i16
  %hf = uitofp i16 %h16 to half
  %hm = fmul half %hf, 0xH4200
  %hi = fptoui half %hm to i32
  %ff = uitofp i32 %t to float
  %fm = call float @llvm.fma.f32(float %ff, float 2.5, float 1.0)
  %fs = call float @llvm.sqrt.f32(float %fm)
  %fi = bitcast float %fs to i32
  %o0 = insertelement <4 x i32> undef, i32 %pop, i32 0
  %o1 = insertelement <4 x i32> %o0, i32 %clz, i32 1
  %o2 = insertelement <4 x i32> %o1, i32 %rev32, i32 2
  %o3 = insertelement <4 x i32> %o2, i32 %max, i32 3
  %base = mul i64 %ti, 3
  %po = getelementptr <4 x i32>, ptr addrspace(1) %out, i64 %base
  store <4 x i32> %o3, ptr addrspace(1) %po, align 16
  %p0 = insertelement <4 x i32> undef, i32 %rot, i32 0
  %p1 = insertelement <4 x i32> %p0, i32 %sat, i32 1
  %p2 = insertelement <4 x i32> %p1, i32 %lv, i32 2
  %p3 = insertelement <4 x i32> %p2, i32 %sw, i32 3
  %pp = getelementptr <4 x i32>, ptr addrspace(1) %po, i64 1
  store <4 x i32> %p3, ptr addrspace(1) %pp, align 16
  %q0 = insertelement <4 x i32> undef, i32 %hi, i32 0
  %q1 = insertelement <4 x i32> %q0, i32 %fi, i32 1
  %q2 = insertelement <4 x i32> %q1, i32 0, i32 2
  %q3 = insertelement <4 x i32> %q2, i32 0, i32 3
  %pq = getelementptr <4 x i32>, ptr addrspace(1) %po, i64 2
  store <4 x i32> %q3, ptr addrspace(1) %pq, align 16
  ret void
}
!nvvm.annotations = !{!0}
!0 = !{ptr @k, !"kernel", i32 1}
!9 = distinct !{!9, !10}
!10 = !{!"llvm.loop.unroll.disable"}
