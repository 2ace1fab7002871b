"""The comparisons of the paper at a small scale: Tables 4 to 7 and Figure 5 on Moving Shapes (Sec. 4)."""
