"""The template language as a table, and a slow renderer that defines the right output for any template.

CASES run on every runtime. `Reference` implements the language a second time, as an interpreter with regular expressions, a tree
and eval/exec in one dict, without the methods of the compiler.
"""

import re

SEED_PAGE = """\
    <title>TEST PYHTML</title>
    {{ py }}
      def _testFunction(x) :
        return "IN TEST FUNCTION %s" % x
    {{ end }}
    <div style="background-color: black; color: white;">
      {{ for toto in range(3) }}
        This is an HTML test...<br />
        TOTO = {{ toto + 1 }} !<br />
        {{ for toto2 in range(3) }}
          TOTO2 = {{ _testFunction(toto2) }}
        {{ end }}
        Ok good.<br />
      {{ end }}
    {{ _testFunction(100) }}<br />
    <br />
    {{ if 2+5 < 3 }}
      IN IF (1)
    {{ elif 10+15 != 25 }}
      IN ELIF (2)
    {{ elif 10+15 == 25 }}
      IN ELIF (3)
    {{ else }}
      IN ELSE (4)
    {{ end }}
"""

_TOTO2 = "".join("\n          TOTO2 = IN TEST FUNCTION %d\n        " % n for n in range(3))
SEED_RESULT = """\
    <title>TEST PYHTML</title>
    \n    <div style="background-color: black; color: white;">
      %s
    IN TEST FUNCTION 100<br />
    <br />
    \n      IN ELIF (3)
    \n""" % "".join("\n        This is an HTML test...<br />\n        TOTO = %d !<br />\n        %s\n"
                    "        Ok good.<br />\n      " % (n, _TOTO2) for n in (1, 2, 3))

# name: (template, source of the variables, result)
CASES = {
    # the seed
    "seed page": (SEED_PAGE, "{}", SEED_RESULT),
    "seed if": ("{{ py }}\n  test = 123\n  def testFunc(x) :\n    return 2 * x\n{{ end }}{{ if testFunc(5) <= 3 }}a"
                "{{ elif testFunc(10) >= 15 }}b{{ else }}I like {{ test }} !{{ end }}", "{}", "b"),
    "seed for": ("{{ py }}\n  def testFunc(x) :\n    return 2 * x\n{{ end }}"
                 "{{ for toto in range(testFunc(3)) }}{{ toto * 10 }};{{ end }}", "{}", "0;10;20;30;40;50;"),
    "empty": ("", "{}", ""),
    "text": ("<p>{ } } {a} {%x%} \\ ' \" \"\"\" é\u20ac\U0001f600 \t\r\n</p>", "{}",
             "<p>{ } } {a} {%x%} \\ ' \" \"\"\" é\u20ac\U0001f600 \t\r\n</p>"),
    "closing alone": ("a }} b", "{}", "a }} b"),
    "percent": ("100% {{ 5 }}% %s %d {{ '%' }}", "{}", "100% 5% %s %d %"),

    # tags
    "no spaces": ("{{x}}{{if x}}a{{end}}{{for i in (1,2)}}{{i}}{{end}}", "{'x': 7}", "7a12"),
    "many spaces": ("{{    x   }}{{\t\tif\t x \t}}a{{   end   }}", "{'x': 7}", "7a"),
    "many lines": ("{{\n x \n}}{{ if\n x\n and\n x }}a{{\nelse\n}}b{{\n\nend }}{{ for\n i\n in\n (1,\n2)\n}}"
                   "{{ i }}{{end}}"
                   "{{ sum(\n[1,\n 2]) +\n 1 }}", "{'x': 7}", "7a124"),
    "one line": ("{{ for i in (1, 2) }}{{ if i == 1 }}one{{ else }}more{{ end }},{{ end }}", "{}", "one,more,"),
    "windows": ("a\r\n{{ py }}\r\n  x = 1\r\n  def f():\r\n    return x\r\n{{ end }}\r\n{{ if x\r\n}}\r\n"
                "{{ f() }}\r\n{{ end }}",
                "{}", "a\r\n\r\n\r\n1\r\n"),
    "comments": ("a{{# it's {{ no }}b{{ # if }}c{{ #}}d{{ #\n}}e", "{}", "abcde"),
    "comment in an expression": ("{{ x # the }}{{ if x # the\n}}y{{ end }}{{ '#' }}{{ for i in (1, 2) # two }}"
                                 "{{ i }}{{ end }}",
                                 "{'x': 3}", "3y#12"),
    "literal braces": ("{{ '{{' }} {{ \"{{ x }\" }}}", "{}", "{{ {{ x }}"),
    "dicts in tags": ("{{ {'a': {'b': 5} }['a']['b'] }}", "{}", "5"),
    "names like instructions": ("{{ ending }}{{ iffy }}{{ for_ }}{{ pyx }}{{ end_ }}{{ include_ }}",
                                "dict(ending=1, iffy=2, for_=3, pyx=4, end_=5, include_=6)", "123456"),
    "raw, block and extends are names too": ("{{ raw }}{{ raw + 1 }}{{ raw - 1 }}{{ raw[0:1] if 0 else raw }}"
                                             "{{ block }}"
                                             "{{ extends }}{{ raw.bit_length() if 0 else 0 }}",
                                             "dict(raw=5, block=6, extends=7)", "5645670"),
    "If is a name": ("{{ If + 1 }}{{ End }}{{ Py }}", "dict(If=1, End=2, Py=3)", "223"),

    # expressions
    "values": ("{{ None }}|{{ True }}|{{ 1.5 }}|{{ -3 }}|{{ 'a' 'b' }}|{{ [1, 'x'] }}|{{ 1, 2 }}|{{ x }}", "{'x': ''}",
               "None|True|1.5|-3|ab|[1, &apos;x&apos;]|(1, 2)|"),
    "attributes and calls": ("{{ 'abc'.upper() }}{{ len('abc') }}{{ d['k'] }}{{ d.get('n', 'none') }}"
                             "{{ (lambda v: v + 1)(2) }}",
                             "{'d': {'k': 'v'}}", "ABC3vnone3"),
    "conditional": ("{{ 'a' if x else 'b' }}{{ not x }}{{ x and 'z' }}", "{'x': 0}", "bTrue0"),
    "f-strings": ("{{ f'{x}-{y + 1}' }}", "{'x': 1, 'y': 2}", "1-3"),
    "f-strings with quotes": ("{{ raw f'<a href=\"{x}\">#{y}' }}{{ '\"' + z }}", "{'x': 1, 'y': 2, 'z': 'z'}",
                              '<a href="1">#2&quot;z'),
    "names behind strings": ("{{ 'it\\'s' + a }}{{ \"a\\\\\" + b }}{{ '\\\\' 'b' + c }}{{ '' + d }}{{ \"'\" + e }}"
                             "{{ r'\\d' + f }}{{ '''q'' ''' + g }}{{ f\"{h}k\" + i }}",
                             "{c: c.upper() for c in 'abcdefghi'}", "it&apos;sAa\\B\\bCD&apos;E\\dFq&apos;&apos; GHkI"),
    "names behind comments": ("{{ py }}\n  # it's x \"\n  a = x  # '\n  b = y\n{{ end }}{{ a }}{{ b }}",
                              "dict(x=1, y=2)",
                              "12"),
    "vars hide builtins": ("{{ id }}{{ max }}{{ len('ab') }}", "{'id': 7, 'max': 8}", "782"),
    "unicode": ("{{ 'é\u20ac\U0001f600' }}{{ s }}", "{'s': '\\u00fc'}", "é\u20ac\U0001f600ü"),
    "unicode around tags": ("é{{ x }}\u20ac{{ if x }}\U0001f600{{ end }}ü{{ py }}\n  y = 'é'\n{{ end }}ß{{ y }}",
                            "{'x': 1}",
                            "é1\u20ac\U0001f600üßé"),

    # escaping
    "escaped": ("{{ x }}", "{'x': '<a href=\"x\">&\\'</a>'}", "&lt;a href=&quot;x&quot;&gt;&amp;&apos;&lt;/a&gt;"),
    "raw": ("{{ raw x }}{{ raw 5 }}{{ raw (x) }}{{ raw 'a' + x }}{{ raw [1][0] }}{{ raw x if x else 'n' }}{{ raw t }}",
            "{'x': '<b>', 't': (1, 2)}", "<b>5<b>a<b>1<b>(1, 2)"),
    "markup": ("{{ m }}{{ h }}{{ raw m }}", "{'m': Markup('<i>'), 'h': Dashed()}", "<i><hr><i>"),
    "text of the page is not escaped": ("<&>'\"{{ '' }}", "{}", "<&>'\""),

    # if
    "if": ("{{ if x > 3 }}a{{ elif x > 2 }}b{{ elif x > 1 }}c{{ else }}d{{ end }}", "{'x': 2}", "c"),
    "if without else": ("[{{ if 0 }}a{{ elif 0 }}b{{ end }}]", "{}", "[]"),
    "empty branches": ("[{{ if 1 }}{{ else }}{{ end }}{{ if 0 }}{{ elif 1 }}{{ end }}{{ for i in (1,) }}{{ end }}]",
                       "{}", "[]"),
    "any truth": ("{{ if x }}a{{ else }}b{{ end }}{{ if y }}a{{ else }}b{{ end }}", "{'x': [], 'y': 'z'}", "ba"),
    "bare unknown name": ("{{ if nope }}a{{ elif norThis }}b{{ else }}c{{ end }}{{ if nope }}d{{ end }}", "{}", "c"),
    "bare known names": ("{{ if x }}a{{ elif y }}b{{ else }}c{{ end }}", "{'x': 0, 'y': 1}", "b"),
    "bare constants": ("{{ if True }}a{{ end }}{{ if None }}b{{ elif False }}c{{ else }}d{{ end }}{{ if 1 }}e{{ end }}",
                       "{}", "ade"),
    "bare name, known later": ("{{ if x }}a{{ end }}{{ py }} x = 1 {{ end }}{{ if x }}b{{ end }}", "{}", "b"),

    # for
    "unpacking": ("{{ for k, v in pairs }}{{ k }}={{ v }};{{ end }}{{ for i, (a, b) in enumerate(pairs) }}{{ i }}"
                  "{{ a }}{{ b }}"
                  "{{ end }}", "{'pairs': [('a', 1), ('b', 2)]}", "a=1;b=2;0a11b2"),
    "dict items": ("{{ for k, v in d.items() }}{{ k }}={{ v }}{{ end }}", "{'d': {'a': 1}}", "a=1"),
    "generators": ("{{ for x in (n * n for n in range(4)) }}{{ x }},{{ end }}{{ for x in g }}{{ x }}{{ end }}",
                   "{'g': iter([1, 2])}", "0,1,4,9,12"),
    "without brackets": ("{{ for x in 1, 2, 3 }}{{ x }}{{ end }}", "{}", "123"),
    "for a in b in c": ("{{ for x in [1 in (1, 2)] }}{{ x }}{{ end }}", "{}", "True"),
    "else of for": ("{{ for x in () }}{{ x }}{{ else }}none{{ end }}{{ for x in (1, 2) }}{{ x }}{{ else }}none"
                    "{{ end }}", "{}",
                    "none12"),
    "else of for, nested": ("{{ for x in (0, 2) }}[{{ for y in range(x) }}{{ y }}{{ else }}-{{ end }}]"
                            "{{ else }}none{{ end }}",
                            "{}", "[-][01]"),
    "else of a generator": ("{{ for x in (n for n in ()) }}{{ x }}{{ else }}none{{ end }}", "{}", "none"),
    "for in if in for": ("{{ for i in range(3) }}{{ if i }}{{ for j in range(i) }}{{ i }}{{ j }} {{ end }}"
                         "{{ else }}zero {{ end }}"
                         "{{ end }}", "{}", "zero 10 20 21 "),
    "deep": ("{{ for a in (1, 2) }}" * 8 + "." + "{{ end }}" * 8, "{}", "." * 256),
    "many ifs": ("{{ if 1 }}" * 40 + "x" + "{{ end }}" * 40, "{}", "x"),

    # scopes
    "loop variables live on": ("{{ for x in (1, 2) }}{{ end }}{{ x }}", "{}", "2"),
    "loop variables replace": ("{{ x }}{{ for x in (1, 2) }}{{ x }}{{ end }}{{ x }}", "{'x': 'a'}", "a122"),
    "loop does not run": ("{{ for x in () }}{{ end }}{{ x }}", "{'x': 'a'}", "a"),
    "functions see each other": ("{{ py }}\n  def isEven(n):\n    return n == 0 or isOdd(n - 1)\n  def isOdd(n):\n"
                                 "    return n != 0 and isEven(n - 1)\n{{ end }}{{ isEven(10) }}", "{}", "True"),
    "functions see themselves": ("{{ py }}\n  def fact(n):\n    return n * fact(n - 1) if n else 1\n{{ end }}"
                                 "{{ fact(5) }}", "{}",
                                 "120"),
    "functions see variables": ("{{ py }}\n  def twice():\n    return 2 * x\n{{ end }}{{ twice() }}"
                                "{{ for x in (5, 6) }}"
                                " {{ twice() }}{{ end }}", "{'x': 1}", "2 10 12"),
    "functions see later blocks": ("{{ py }}\n  def f():\n    return g() + y\n{{ end }}{{ py }}\n  y = 1\n  def g():\n"
                                   "    return 41\n{{ end }}{{ f() }}", "{}", "42"),
    "global": ("{{ py }}\n  count = 0\n  def Next():\n    global count\n    count += 1\n    return count\n{{ end }}"
               "{{ Next() }}{{ Next() }}{{ count }}", "{}", "122"),
    "global at the top": ("{{ py }}\n  global x\n  x = 1\n{{ end }}{{ x }}", "{}", "1"),
    "comprehensions": ("{{ [f(n) + x for n in range(3)] }}{{ py }}\n  y = [f(n) for n in range(2) if n < x]\n"
                       "{{ end }}{{ y }}",
                       "{'x': 1, 'f': lambda n: n * 2}", "[1, 3, 5][0]"),
    "comprehension in a loop": ("{{ for k in (1, 2) }}{{ sum([k * i for i in range(3)]) }} {{ end }}", "{}", "3 6 "),
    "lambda": ("{{ for k in (1, 2) }}{{ (lambda: k)() }}{{ end }}", "{}", "12"),
    "assignments in branches": ("{{ if 1 }}{{ py }} a = 1 {{ end }}{{ else }}{{ py }} a = 2 {{ end }}{{ end }}{{ a }}",
                                "{}", "1"),
    "assignments in loops": ("{{ py }} total = 0 {{ end }}{{ for i in (1, 2, 3) }}{{ py }} total += i {{ end }}"
                             "{{ end }}{{ total }}",
                             "{}", "6"),
    "classes": ("{{ py }}\n  class Base:\n    def __init__(self):\n      self.a = x\n  class Child(Base):\n    y = x"
                " + 1\n"
                "    def __init__(self):\n      super().__init__()\n      self.b = [self.a + x for _ in range(2)]\n"
                "{{ end }}{{ Child().b }}{{ Child.y }}", "{'x': 2}", "[4, 4]3"),
    "imports": ("{{ py }}\n  import os, sys\n  from json import dumps as j\n{{ end }}{{ j([1]) }}{{ sys.version[:0] }}",
                "{}", "[1]"),
    "variable reassigned": ("{{ x }}{{ py }} x = x + 1 {{ end }}{{ x }}", "{'x': 1}", "12"),
    "del": ("{{ py }} del x {{ end }}{{ if x }}a{{ else }}b{{ end }}", "{'x': 1}", "b"),
    "nested functions": ("{{ py }}\n  def outer(n):\n    total = n\n    def inner():\n      nonlocal total\n      to"
                         "tal += x\n"
                         "    inner()\n    return total\n{{ end }}{{ outer(5) }}", "{'x': 2}", "7"),
    "default arguments": ("{{ py }}\n  def f(a, b=3, *c, **d):\n    return a + b + len(c) + len(d)\n{{ end }}"
                          "{{ f(1) }}{{ f(1, b=1, z=0) }}",
                          "{}", "43"),
    "exceptions": ("{{ py }}\n  try:\n    missing\n  except NameError:\n    missing = 'm'\n{{ end }}{{ missing }}",
                   "{}", "m"),
    "generator functions": ("{{ py }}\n  def rows():\n    for i in range(3):\n      yield i\n{{ end }}"
                            "{{ for r in rows() }}{{ r }}{{ end }}",
                            "{}", "012"),

    # py blocks
    "py on one line": ("{{ py }} x = 5 {{ end }}{{ x }}{{ py }}y = x{{ end }}{{ y }}", "{}", "55"),
    "py prints nothing": ("a{{ py }}\n  1\n{{ end }}b", "{}", "ab"),
    "empty py": ("a{{ py }}{{ end }}b{{ py }}\n\n{{ end }}c{{ if 1 }}{{ py }}\n # nothing\n{{ end }}d{{ end }}", "{}",
                 "abcd"),
    "py keeps relative indentation": ("{{ py }}\n\n      def f(a):\n          if a:\n            return 1\n         "
                                      " return 2\n\n"
                                      "      x = f(1)\n    {{ end }}{{ x }}{{ f(0) }}", "{}", "12"),
    "py with tabs": ("{{ py }}\n\tdef f(a):\n\t\tif a:\n\t\t\treturn 1\n\t\treturn 2\n{{ end }}{{ f(0) }}", "{}", "2"),
    "py at the margin": ("{{ if 1 }}{{ py }}\ndef f():\n  return 3\nx = f()\n{{ end }}{{ x }}{{ end }}", "{}", "3"),
    "py in deep places": ("{{ for i in (1, 2) }}{{ if i }}{{ py }}\n        y = i\n        if y > 1:\n            y "
                          "= 'b'\n"
                          "{{ end }}{{ y }}{{ end }}{{ end }}", "{}", "1b"),
    "py with long strings": ("{{ for i in (1,) }}{{ py }}\n  s = '''a\n    b\n  c\nd'''\n  t = \"\"\"x\"\"\"\n"
                             "{{ end }}{{ s }}{{ t }}{{ end }}",
                             "{}", "a\n  b\nc\nd" "x"),
    "py with strings that begin left of it": ("{{ py }}\n    s = '''a\n b\n      c'''\n{{ end }}{{ s }}", "{}",
                                              "a\n b\n  c"),
    "py with brackets": ("{{ py }}\n    x = [1,\n  2,\n      3]\n    y = {'a':\n1}\n{{ end }}{{ x }}{{ y['a'] }}",
                         "{}", "[1, 2, 3]1"),
    "py with braces": ("{{ py }}\n  a = '{{'\n  b = {1: {2: 3}}\n  c = '}}'\n  d = '{{ x }}'\n{{ end }}{{ a }}"
                       "{{ b[1][2] }}{{ c }}{{ d }}",
                       "{}", "{{3}}{{ x }}"),
    "py with comments": ("{{ py }}\n  # it's a comment: if x\n  x = 1  # don't\n# at the margin\n  y = 2\n"
                         "{{ end }}{{ x }}{{ y }}", "{}",
                         "12"),
    # the lines are unchanged, except that the common indentation is removed
    "texts continued with a backslash": ("{{ if 1 }}{{ py }}\n  a = 'one \\\n    two \\\n  three'\n  b = \"x\\\n\"\n"
                                         "{{ end }}{{ end }}{{ a }}|{{ b }}", "{}", "one   two three|x"),
    "long texts of either kind": ("{{ for i in (1,) }}{{ py }}\n  a = '''it's \"\"\" here\n  b\n'''\n"
                                  "  c = \"\"\"''' d\n\\\"\"\" e\"\"\"\n{{ end }}{{ raw a }}|{{ raw c }}{{ end }}", "{}",
                                  "it's \"\"\" here\nb\n|''' d\n\"\"\" e"),
    "quotes beside each other": ("{{ if 1 }}{{ py }}\n  a = \"a\"\"\"\"b\n c\"\"\"\n  d = ''\"\"'''\n e'''\n{{ end }}"
                                 "{{ end }}{{ a }}|{{ d }}", "{}", "ab\n c|\n e"),
    "comments that hold quotes": ("{{ if 1 }}{{ py }}\n  x = 1  # it's '''\n  # \"\"\" \\\n  y = \"#'\"  # \"\n  if x:\n"
                                  "    z = '''#\n'''  # '\n{{ end }}{{ end }}{{ x }}{{ raw y }}{{ z }}", "{}", "1#'#\n"),
    "global is a word of the program": ("{{ py }}\n  s = 'global x'\n  t = \"\"\"\n  global y\n  \"\"\"\n  # global z\n"
                                        "  globals_ = 3\n{{ end }}{{ s }}{{ t }}{{ globals_ }}", "{}",
                                        "global x\nglobal y\n3"),
    "global on the line of a def": ("{{ py }}\n  n = 0\n  def Add(): global n; n += 1\n  Add(); Add()\n{{ end }}{{ n }}",
                                    "{}", "2"),
    "global and more on its line": ("{{ py }}\n  global n, m; n = 1  # global\n  if n: global k; k = 5\n  m = n\n{{ end }}"
                                    "{{ n }}{{ m }}{{ k }}", "{}", "115"),
    "global in a branch": ("{{ py }}\n  if 1:\n    global n\n    n = 2\n  def f():\n    if 1:\n      global n, \\\n"
                           "        k\n      n = 3\n      k = 4\n  f()\n{{ end }}{{ n }}{{ k }}", "{}", "34"),
    "global in a method": ("{{ py }}\n  n = 0\n  class K:\n    def Add(self):\n      def Inner():\n        global n\n"
                           "        n += 1\n      Inner()\n  K().Add()\n{{ end }}{{ n }}", "{}", "1"),
    "global sets a name for the page": ("{{ py }}\n  def f():\n    global late\n    late = 7\n{{ end }}"
                                        "{{ if late }}no{{ end }}{{ py }} f() {{ end }}{{ late }}", "{}", "7"),
    "tabs and spaces": ("{{ for i in (1, 2) }}{{ py }}\n\tif i == 1:\n\t    a = 1\n\t    if a:\n\t    \tb = 'one'\n"
                        "\telse:\n\t\tb = 'two'\n{{ end }}{{ b }}{{ end }}", "{}", "onetwo"),
    "decorators": ("{{ py }}\n  def Twice(f):\n    return lambda *args: f(*args) * 2\n  @Twice\n  def f(n): return n\n"
                   "  class K:\n    @staticmethod\n    @Twice\n    def g(n):\n      return n + x\n    @property\n"
                   "    def h(self):\n      return 'h'\n{{ end }}{{ f(2) }}{{ K.g(3) }}{{ K().h }}", "{'x': 1}", "48h"),
    "functions and classes in each other": ("{{ py }}\n  def Make(n):\n    class Inner:\n      size = n\n"
                                            "      def Get(self):\n        def deep():\n          return self.size + n + x\n"
                                            "        return deep\n    return Inner\n{{ end }}{{ Make(2)().Get()() }}",
                                            "{'x': 5}", "9"),
    "lines continued with a backslash": ("{{ if 1 }}{{ py }}\n  a = 1 + \\\n2 + \\\n      3\n  def f():\n"
                                         "    return a + \\\n1\n{{ end }}{{ end }}{{ f() }}", "{}", "7"),
    "f-strings of many lines": ("{{ if 1 }}{{ py }}\n  a = f'{x}' 'b'\n  c = f\"\"\"{a}\n {y!r:>4}}}\n  {{ # }} '\"\"\"\n"
                                "{{ end }}{{ end }}{{ raw c }}", "{'x': 1, 'y': 2}", "1b\n    2}\n{ # } '"),
    "raw strings": ("{{ py }}\n  a = r'\\'' + r\"\\\\\" + x\n  b = rb'\\''\n{{ end }}{{ raw a }}{{ len(b) }}", "{'x': 'x'}",
                    "\\'\\\\x2"),

    "words in strings are no names": ("{{ 'for if in class while True' }}{{ \"it's\" }}", "{}",
                                      "for if in class while Trueit&apos;s"),
}

# Features that microWebPages.py adds to a template without files.
PAGES_CASES = {
    "block": ("{{ block a }}x{{ block b }}{{ n }}{{ end }}{{ end }}", "{'n': 1}", "x1"),
    "block with a number": ("{{ block a1_ }}x{{ end }}", "{}", "x"),
    "verbatim": ("{{ verbatim }}<p>{{ user.name | upper }} {{ if x }}</p>{{ end verbatim }}{{ n }}", "{'n': 1}",
                 "<p>{{ user.name | upper }} {{ if x }}</p>1"),
    "verbatim, spaced": ("a{{verbatim}}{{{{ end }} {{end verbatim}}{{\tverbatim\n}}\n{{ # }}{{\nend verbatim }}b", "{}",
                         "a{{{{ end }} \n{{ # }}b"),
    "verbatim within": ("{{ for i in (1, 2) }}{{ verbatim }}{{ i }}{{ end verbatim }}{{ i }}{{ end }}", "{}",
                        "{{ i }}1{{ i }}2"),
    "verbatim is a name too": ("{{ verbatim }}{{ verbatim + 1 }}{{ if verbatim }}y{{ end }}", "{'verbatim': 5}", "56y"),
    "verbatim, long": ("{{ verbatim }}" + "{{ x }}" * 500 + "{{ end verbatim }}", "{}", "{{ x }}" * 500),
}

# name: (template, source of the variables, line of the template, part of the message)
ERRORS = {
    "unclosed tag": ("a\nb {{ x\nc", "{}", 2, "expected }}"),
    "empty tag": ("a\n{{ }}", "{}", 2, "expected an expression"),
    "unclosed if": ("\n{{ if 1 }}\na\n", "{}", 2, "expected {{ end }}"),
    "unclosed for": ("\n\n{{ for x in y }}{{ if 1 }}{{ end }}\na\n", "{}", 3, "expected {{ end }}"),
    "unclosed py": ("\n{{ py }}\n x = 1\n", "{}", 2, "expected {{ end }}"),
    "unclosed block": ("{{ block a }}\n", "{}", 1, "expected {{ end }}"),
    "end alone": ("a\n{{ end }}", "{}", 2, "expected an open if"),
    "end too many": ("{{ if 1 }}\n{{ end }}\n{{ end }}", "{}", 3, "expected an open if"),
    "else alone": ("\n{{ else }}", "{}", 2, "expected an open if or for"),
    "else twice": ("{{ if 1 }}{{ else }}\n{{ else }}{{ end }}", "{}", 2, "expected an open if or for"),
    "else of a block": ("{{ block a }}\n{{ else }}{{ end }}", "{}", 2, "expected an open if or for"),
    "elif alone": ("{{ elif 1 }}", "{}", 1, "expected an open if"),
    "elif after else": ("{{ if 1 }}{{ else }}\n{{ elif 1 }}{{ end }}", "{}", 2, "expected an open if"),
    "elif of for": ("{{ for x in y }}\n{{ elif 1 }}{{ end }}", "{}", 2, "expected an open if"),
    "if without a condition": ("\n{{ if }}{{ end }}", "{}", 2, "expected an expression"),
    "for without in": ("\n{{ for x }}{{ end }}", "{}", 2, "expected {{ for name in iterable }}"),
    "for without an iterable": ("\n{{ for x in }}{{ end }}", "{}", 2, "expected {{ for name in iterable }}"),
    "else with something": ("{{ if 1 }}\n{{ else if 2 }}{{ end }}", "{}", 2, "SyntaxError"),
    "end with something": ("{{ if 1 }}\n{{ end if }}", "{}", 2, "SyntaxError"),
    "py with something": ("\n{{ py x = 1 }}", "{}", 2, "SyntaxError"),
    "block without a name": ("{{ block 1 }}{{ end }}", "{}", 1, "expected a name"),
    "no expression": ("\n{{ 1 + }}", "{}", 2, "SyntaxError"),
    "unclosed bracket": ("\n{{ f(1 }}\n{{ 2 }}", "{}", 2, "SyntaxError"),
    "unclosed string": ("\n{{ 'a }}\n'", "{}", 2, "SyntaxError"),
    "assignment": ("\n{{ x = 1 }}", "{}", 2, "SyntaxError"),
    "statement": ("\n{{ import os }}", "{}", 2, "SyntaxError"),
    "bad condition": ("\n\n{{ if x = 1 }}{{ end }}", "{}", 3, "SyntaxError"),
    "bad for": ("\n{{ for 1 in x }}{{ end }}", "{}", 2, "SyntaxError"),
    "second line of an expression": ("\n{{ [1,\n 2 3] }}", "{}", 3, "SyntaxError"),
    "syntax in py": ("a\n{{ py }}\n  x = 1\n  y = (3 4)\n  z = 1\n{{ end }}", "{}", 4, "SyntaxError"),
    "indentation in py": ("{{ py }}\n  x = 1\n    y = 2\n{{ end }}", "{}", 3, "Error"),
    "return in py": ("\n{{ py }}\n  return 1\n{{ end }}", "{}", 3, "SyntaxError"),
    "yield in py": ("\n{{ py }}\n  yield 1\n{{ end }}", "{}", 3, "SyntaxError"),
    "import * in py": ("\n{{ py }}\n  x = 1\n  from json import *\n{{ end }}", "{}", 4, "import *"),
    "extends too late": ("a\n{{ extends x.pyhtml }}", "{}", 2, "expected {{ extends }} at the beginning"),
    "unclosed py with a closed tag": ("\n{{ py }}\n x = 1\n{{ end if }}", "{}", 2, "expected {{ end }}"),
    "nonlocal at the top": ("\n{{ py }}\n  nonlocal x\n{{ end }}", "{}", 3, "SyntaxError"),
    "end of verbatim alone": ("\n{{ end verbatim }}", "{}", 2, "SyntaxError"),

    "unknown name": ("a\n{{ x }}\n{{ nope }}", "{'x': 1}", 3, "NameError: 'nope' isn't defined"),
    "unknown among known ones": ("{{ py }} y = 1 {{ end }}\n{{ len(str(x)) + nope * x }}", "{'x': 1}", 2,
                                 "'nope' isn't defined"),
    "unknown in raw": ("\n{{ raw nope }}", "{}", 2, "'nope' isn't defined"),
    "unknown with attributes": ("\n{{ nope.attribute.other }}", "{'attribute': 1}", 2, "'nope' isn't defined"),
    "unknown in py": ("{{ py }}\n  x = 1\n  y = nope\n{{ end }}", "{}", 3, "NameError: 'nope'"),
    "unknown in a function": ("{{ py }}\n  def f():\n    x = '''\n  '''\n    return nope\n{{ end }}{{ f() }}", "{}", 5,
                              "'nope' isn't defined"),
    "unknown in a comprehension": ("\n{{ [nope for i in (1,)] }}", "{}", 2, "'nope' isn't defined"),
    "unknown in an f-string": ("\n{{ f'a {nope} b' }}", "{}", 2, "nope"),
    "unknown in a function of the program": ("\n{{ f() }}", "{'f': lambda: nope_}", 2, "'nope_' isn't defined"),
    "deleted": ("{{ py }} del x {{ end }}\n{{ x }}", "{'x': 1}", 2, "NameError"),
    "behind verbatim": ("{{ verbatim }}\n{{ x }}\n{{ end verbatim }}\n{{ 1 // 0 }}", "{}", 4, "ZeroDivisionError"),
    "too long to be shown": ("\n{{ nope }}" + "x" * 200, "{}", 2, "NameError"),
    "unknown in a condition": ("\n{{ if nope + 1 }}{{ end }}", "{}", 2, "'nope' isn't defined"),
    "unknown in elif": ("\n{{ if 0 }}\n{{ elif nope() }}{{ end }}", "{}", 3, "'nope' isn't defined"),
    "unknown in for": ("\n\n{{ for x in nope }}{{ end }}", "{}", 3, "NameError: 'nope'"),
    "no iterable": ("\n{{ for x in 5 }}{{ end }}", "{}", 2, "TypeError"),
    "cannot unpack": ("\n{{ for a, b in [(1,)] }}{{ end }}", "{}", 2, "ValueError"),
    "in an expression": ("a\n{{ 1 }} b {{ 2 }}\nc {{ 1 / 0 }}", "{}", 3, "ZeroDivisionError"),
    "among many expressions": ("{{ 1 }}\n{{ 2 }}\n{{ [3][1] }}\n{{ 4 }}\n{{ 5 }}", "{}", 3, "IndexError"),
    "on the second line of an expression": ("\n{{ [1,\n 1 // 0,\n 2] }}", "{}", 3, "ZeroDivisionError"),
    "behind an expression of two lines": ("{{ [1,\n 2] }}{{ 1\n +\n 2 }}{{ 1 // 0 }}", "{}", 4, "ZeroDivisionError"),
    "behind unicode": ("é\u20ac\n\U0001f600{{ 'é' }}ü\n\u20ac{{ 1 // 0 }}", "{}", 3, "ZeroDivisionError"),
    "in raw": ("\n\n{{ raw {}['k'] }}", "{}", 3, "KeyError"),
    "in py": ("{{ py }}\n  x = 0\n  y = 1 // x\n{{ end }}", "{}", 3, "ZeroDivisionError"),
    "in a function": ("{{ py }}\n  def f(x):\n    y = 1\n    return y // x\n{{ end }}\n\n{{ f(0) }}", "{}", 4,
                      "ZeroDivisionError"),
    "in a function of the program": ("\n{{ f(0) }}", "{'f': lambda x: 1 // x}", 2, "ZeroDivisionError"),
    "in a loop": ("{{ for i in (2, 1, 0) }}\n{{ 1 // i }}\n{{ end }}", "{}", 2, "ZeroDivisionError"),
    "in an iterator": ("\n{{ for i in (1 // n for n in (1, 0)) }}{{ i }}{{ end }}", "{}", 2, "ZeroDivisionError"),
    "in a bare condition": ("\n{{ if x }}{{ end }}{{ x[0] }}", "{'x': []}", 2, "IndexError"),
    "in str()": ("\n{{ x }}", "{'x': type('X', (), {'__str__': lambda self: 1 // 0})()}", 2, "Error"),
    "a file that is missing": ("\n{{ include missing.pyhtml }}", "{}", 2, "missing.pyhtml"),
    "a file that is missing, by expression": ("\n\n{{ include name }}", "{'name': 'missing'}", 3, "include name"),
    "a folder too high": ("\n{{ include ../up.pyhtml }}", "{}", 2, "outside"),
    "a folder too high, by expression": ("\n{{ include name }}", "{'name': 'a/../../up'}", 2, "outside"),
    "a page of Windows": ("a\r\n{{ py }}\r\n  x = 1\r\n  y = x // 0\r\n{{ end }}\r\n", "{}", 4, "ZeroDivisionError"),
}


class Fails(Exception):
    """According to the reference, this template must fail."""


class Reference:
    """Renders with tokens, a tree, and eval and exec in one dict of names."""

    def __init__(self, text, files=None):
        self.files = files or {}
        self.nodes = self.Parse(text)

    def Parse(self, text):
        tokens = re.split(r"\{\{(.*?)\}\}", text, flags=re.S)
        self.tokens = [(kind % 2, token) for kind, token in enumerate(tokens)]
        nodes = self.Block(())
        if self.tokens:
            raise Fails("a stray instruction")
        return nodes

    def Block(self, ends):
        """-> nodes up to one of the instructions that end the block, which stays the first token."""
        nodes = []
        while self.tokens:
            isTag, token = self.tokens[0]
            body = token.strip()
            word, rest = (body.split(None, 1) + ["", ""])[:2]
            if isTag and word in ("end", "else", "elif"):
                if word not in ends:
                    raise Fails(word)
                return nodes
            self.tokens.pop(0)
            if not isTag:
                nodes.append(("text", token))
            elif word == "#" or body.startswith("#"):
                pass
            elif word == "py":
                code = ""
                while self.tokens[0][1].strip() != "end" or not self.tokens[0][0]:
                    isTag, token = self.tokens.pop(0)
                    code += "{{%s}}" % token if isTag else token
                self.tokens.pop(0)
                nodes.append(("py", code))
            elif word == "if":
                nodes.append(self.If(rest))
            elif word == "for":
                nodes.append(self.For(rest))
            elif word == "block":
                nodes.append(("block", rest, self.Block(("end",))))
                self.tokens.pop(0)
            elif word == "raw" and rest:
                nodes.append(("raw", rest))
            elif word == "include":
                nodes.append(("include", rest))
            else:
                nodes.append(("value", body))
        if ends:
            raise Fails("the end is missing")
        return nodes

    def If(self, condition):
        branches = []
        while True:
            branches.append((condition, self.Block(("end", "else", "elif") if condition else ("end",))))
            words = self.tokens.pop(0)[1].split(None, 1)
            if words[0] == "end":
                return "if", branches
            condition = words[1].strip() if words[0] == "elif" else ""

    def For(self, text):
        target, iterable = text.split(" in ", 1)
        nodes = self.Block(("end", "else"))
        empty = []
        if self.tokens.pop(0)[1].strip() == "else":
            empty = self.Block(("end",))
            self.tokens.pop(0)
        return "for", target, iterable, nodes, empty

    def Render(self, values):
        self.names = dict(values)
        self.parts = []
        self.Run(self.nodes)
        return "".join(self.parts)

    def Run(self, nodes):
        for node in nodes:
            getattr(self, "Do_" + node[0])(*node[1:])

    def Eval(self, text):
        return eval(text.strip(), self.names)

    def Do_text(self, text):
        self.parts.append(text)

    def Do_value(self, text):
        value = str(self.Eval(text))
        for char, entity in (("&", "&amp;"), ('"', "&quot;"), ("'", "&apos;"), (">", "&gt;"), ("<", "&lt;")):
            value = value.replace(char, entity)
        self.parts.append(value)

    def Do_raw(self, text):
        self.parts.append(str(self.Eval(text)))

    def Do_py(self, code):
        lines = code.split("\n")
        first = next((line for line in lines if line.strip()), "")
        indent = first[:len(first) - len(first.lstrip())]
        exec("\n".join(line[len(indent):] if line.startswith(indent) else line for line in lines), self.names)

    def Do_if(self, branches):
        for condition, nodes in branches:
            try:
                isTrue = not condition or self.Eval(condition)
            except NameError:
                if not condition.isidentifier():
                    raise
                isTrue = False
            if isTrue:
                return self.Run(nodes)

    def Do_for(self, target, iterable, nodes, empty):
        isEmpty = True
        for value in self.Eval(iterable):
            isEmpty = False
            self.names["_value"] = value
            exec("%s = _value" % target, self.names)
            self.Run(nodes)
        if isEmpty:
            self.Run(empty)

    def Do_block(self, name, nodes):
        self.Run(nodes)

    def Do_include(self, name):
        inner = Reference(self.files[name.strip("'\"")], self.files)
        inner.names, inner.parts = self.names, self.parts
        inner.Run(inner.nodes)
