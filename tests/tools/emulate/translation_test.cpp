// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/translation.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tools/emulate/tokens.h"

namespace gradamp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string translated(const std::string& text) { return translate_cuda({"a.cu", text}, kernel_templates(text)); }

/// The translation of a statement in a function.
std::string in_function(const std::string& statement) {
  const std::string begin = "void f() { ", all = translated(begin + statement + " }");
  return all.substr(begin.size(), all.size() - begin.size() - 2);
}

std::string error_in(const std::string& text) {
  return test::error_of([&] { translated(text); });
}

TEST(Tokens, OfEveryKind) {
  std::vector<std::string> texts;
  for (const Token& token :
       tokens_of("#define A \\\n  1\nint a_1 = 0x1p+4 + 1'000; // <<<\n/* ; */ s = \"a\\\"b;\" R\"(c\")\" x<<<y"))
    texts.emplace_back(token.text);
  EXPECT_THAT(texts, ElementsAre("#define A \\\n  1", "int", "a_1", "=", "0x1p+4", "+", "1'000", ";", "s", "=",
                                 "\"a\\\"b;\"", "R\"(c\")\"", "x", "<<<", "y"));
  EXPECT_EQ(line_of("a\nb\nc", 4), 3);
  ASSERT_EQ(tokens_of("\"not closed").size(), 1u);
  EXPECT_EQ(tokens_of("\"not closed")[0].end, 11u);
  EXPECT_TRUE(tokens_of("/* not closed").empty());
}

TEST(Translation, SharedMemory) {
  EXPECT_EQ(in_function("__shared__ float a[32];"), "SHARED(a, float[32]);");
  EXPECT_EQ(in_function("static __shared__ int a[2][N + 1], b;"), "SHARED(a, int[2][N + 1]); SHARED(b, int);");
  EXPECT_EQ(in_function("__shared__ typename X<A, B>::T a[4];"), "SHARED(a, typename X < A , B > :: T[4]);");
  EXPECT_EQ(in_function("__shared__ __align__(16) unsigned char a[8];"), "SHARED(a, unsigned char[8]);");
  EXPECT_EQ(in_function("__shared__ int *a, b[2], **c[3];"),
            "SHARED(a, int*); SHARED(b, int[2]); SHARED(c, int**[3]);");
  EXPECT_EQ(in_function("volatile __shared__ int a;"), "SHARED(a, volatile int);");
  EXPECT_EQ(in_function("extern __shared__ float a[];"), "DYNAMIC_SHARED(float, a);");
  EXPECT_THAT(in_function("__shared__ struct { int x; } a;"),
              HasSubstr("struct gradamp_shared_type_1 { int x ; }; SHARED(a, gradamp_shared_type_1);"));
  EXPECT_EQ(translated("namespace n { extern __shared__ int a[]; }"),
            "namespace n { static const ::gradamp::emulation::DynamicSharedOfFile<int> a{}; }");
}

TEST(Translation, Launches) {
  const std::string plain = "::gradamp::emulation::plain";
  EXPECT_EQ(in_function("k<<<1, 2>>>(x);"), plain + "(1, 2).launch(k)(x);");
  EXPECT_EQ(in_function("n::k<float, 3><<<g(1, 2), dim3(4)>>>(x, y);"),
            plain + "(g(1, 2), dim3(4)).launch(n::k<float, 3>)(x, y);");
  EXPECT_EQ(in_function("k<<<a >> 1, b>>>();"), plain + "(a >> 1, b).launch(k)();");
  EXPECT_EQ(in_function("k<<<1, 2, 0, s>>>(f<<<3, 4>>>(y));").find("<<<"), std::string::npos);
  EXPECT_EQ(in_function("cudaLaunchKernel((const void*)k<3>, 1, 2, a, 0, 0);"),
            "cudaLaunchKernel(k<3>, 1, 2, a, 0, 0);");
  EXPECT_EQ(in_function("k<<<f<g<h<1> > >(2), 3>>>(x);"), plain + "(f<g<h<1> > >(2), 3).launch(k)(x);");
  EXPECT_EQ(in_function("x = y << 3;"), "x = y << 3;");
  EXPECT_EQ(in_function("A<B<C<int>>> a(1);"), "A<B<C<int>>> a(1);");
}

TEST(Translation, LaunchesOfTemplates) {
  const std::string kernel = "template <typename T, int kN> __global__ __launch_bounds__(64) void k(T* x) {}\n";
  EXPECT_THAT(kernel_templates(kernel), ElementsAre("k"));
  EXPECT_THAT(kernel_templates("template <class T> T f(T); __global__ void g(int) {}"), ElementsAre());
  EXPECT_THAT(translated(kernel + "void f() { k<<<1, 2>>>(x); }"), HasSubstr("{ k(gradamp_argument...); }"));
  EXPECT_THAT(translated(kernel + "void f() { k<int, 4><<<1, 2>>>(x); }"),
              HasSubstr("gradamp_launch.launch(k<int, 4>)"));
}

TEST(Translation, IgnoredResults) {
  const std::string unchecked = "::gradamp::emulation::unchecked(\"cudaMalloc\") = cudaMalloc(&x, 4);";
  EXPECT_EQ(in_function("cudaMalloc(&x, 4);"), unchecked);
  EXPECT_EQ(in_function("if (f(x)) cudaMalloc(&x, 4); else cudaMalloc(&x, 4);"),
            "if (f(x)) " + unchecked + " else " + unchecked);
  EXPECT_EQ(in_function("switch (x) { case 1: cudaMalloc(&x, 4); }"), "switch (x) { case 1: " + unchecked + " }");
  EXPECT_EQ(in_function("g([] { cudaMalloc(&x, 4); });"), "g([] { " + unchecked + " });");
  for (const char* text :
       {"e = cudaMalloc(&x, 4);", "CHECK(cudaMalloc(&x, 4));", "(void)cudaMalloc(&x, 4);", "return cudaMalloc(&x, 4);",
        "for (;cudaMalloc(&x, 4);) ;", "for (a; b; cudaMalloc(&x, 4)) ;", "e = a ? b : cudaMalloc(&x, 4);",
        "cudaMalloc(&x, 4) == 0;", "cudaCheck(x);", "cudaGetLastError();", "cudaFree(x);"})
    EXPECT_EQ(in_function(text), text);
  EXPECT_EQ(translated("cudaError_t\ncudaMalloc(void**, size_t);"), "cudaError_t\ncudaMalloc(void**, size_t);");
}

TEST(Translation, VariablesOfTheDevice) {
  const auto guarded = [](const std::string& prefix, const std::string& type, const std::string& name,
                          const std::string& value = "", const std::string& alignment = "1") {
    return prefix + "::gradamp::emulation::GuardedVariable<" + type + ", " + alignment + "> gradamp_variable_" + name +
           value + "; " + prefix + "std::type_identity_t<" + type + ">& " + name + " = gradamp_variable_" + name +
           ".value; static const ::gradamp::emulation::VariableGuard gradamp_guard_" + name + "(\"" + name +
           "\", gradamp_variable_" + name + ");";
  };
  EXPECT_EQ(translated("__device__ int a[4];"), guarded("", "int[4]", "a"));
  EXPECT_EQ(translated("static __constant__ float a[N + 1] = {1, 2};"),
            guarded("static ", "float[N + 1]", "a", "{.value = {1, 2}}"));
  EXPECT_EQ(translated("namespace n { __device__ int* a, b = 3; }"),
            "namespace n { " + guarded("", "int*", "a") + " " + guarded("", "int", "b", "{.value = 3}") + " }");
  EXPECT_EQ(translated("__device__ __align__(16) X<int, 2> a[2][3];"),
            guarded("", "X < int , 2 >[2][3]", "a", "", "16"));
  EXPECT_EQ(translated("extern __device__ int a[];"), "extern std::type_identity_t<int[]>& a;");
  EXPECT_EQ(translated("__device__ int a[][2] = {{1, 2}};"),
            guarded("", "int[decltype(::gradamp::emulation::extent_of<int[2]>({ { 1 , 2 } }))::value][2]", "a",
                    "{.value = {{1, 2}}}"));
  for (const char* text : {"__device__ int f(int x) { int a[4]; return 1; }", "__device__ int f();",
                           "__device__ const int n = 3;", "__device__ constexpr int a[2] = {1, 2};",
                           "template <class T> __device__ T a;", "struct S { __device__ int f(); };",
                           "__device__ float (*f)(float) = g;", "__device__ S operator+(S a, S b) { return a; }"})
    EXPECT_EQ(translated(text), text);
}

TEST(Translation, InMacros) {
  EXPECT_EQ(translated("#define RUN(k, ...) \\\n  k<<<1, 2>>>(__VA_ARGS__)\n"),
            "#define RUN(k, ...) \\\n  ::gradamp::emulation::plain(1, 2).launch(k)(__VA_ARGS__)\n");
  EXPECT_EQ(translated("#define RUN \\\r\n  k<<<1, 2>>>()\r\n"),
            "#define RUN \\\r\n  ::gradamp::emulation::plain(1, 2).launch(k)()\r\n");
  EXPECT_EQ(translated("#if A <<< B\n"), "#if A <<< B\n");
}

TEST(Translation, LinesStay) {
  const std::string text = "void f() {\n  __shared__ float\n    a[2],\n    b;\n  k<<<1,\n      2>>>(x);\n  last;\n}\n";
  const std::string all = translated(text);
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), std::count(text.begin(), text.end(), '\n')) << all;
  EXPECT_EQ(line_of(all, all.find("last")), 7);
}

TEST(Translation, LeavesTheRestAlone) {
  for (const char* text : {"// __shared__ int a;\n", "const char* s = \"k<<<1, 2>>>(x)\";", "/* <<< */ int x;",
                           "__device__ int f() { return 1; }", "__attribute__((__noinline__)) void f();"})
    EXPECT_EQ(translated(text), text);
  EXPECT_EQ(translated("__noinline__ void f();"), "__attribute__((noinline)) void f();");
}

TEST(Translation, Errors) {
  EXPECT_EQ(error_in("\nvoid f() { __shared__ int a = 3; }"),
            "a.cu:2: shared memory cannot be initialized where it is declared");
  EXPECT_EQ(error_in("__shared__ int a[3];"),
            "a.cu:1: shared memory outside of a kernel: declare it inside the kernel");
  EXPECT_EQ(error_in("void f() {\n\n k<<<1, 2; }"), "a.cu:3: '<<<' is not closed by '>>>('");
  EXPECT_EQ(error_in("void f() { k<<<>>>(); }"),
            "a.cu:1: expected the numbers of blocks and threads between '<<<' and '>>>'");
  EXPECT_EQ(error_in("void f() { 3 <<<1, 2>>>(); }"), "a.cu:1: expected the name of a kernel before '<<<'");
  EXPECT_EQ(error_in("void f() { __shared__ int a }"), "a.cu:1: the declaration of shared memory has no end");
  EXPECT_EQ(error_in("void f() {\n  asm volatile(\"mov.u32 %0, %%laneid;\" : \"=r\"(x)); }"),
            "a.cu:2: inline PTX, which the emulator does not have: use CUDA's intrinsics or plain C++");
  EXPECT_EQ(error_in("\n#define RUN \\\n  k<<<>>>()\n"),
            "a.cu:3: expected the numbers of blocks and threads between '<<<' and '>>>'");
}

TEST(Translation, QuotedIncludes) {
  EXPECT_THAT(quoted_includes("#include \"a.h\"\n# include \"b/c.cuh\" // d\n#include <e.h>\n// #include \"f.h\"\n"),
              ElementsAre("a.h", "b/c.cuh"));
}

}  // namespace
}  // namespace gradamp
