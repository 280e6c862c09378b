# Runs the tables of one room on this interpreter: run.py ROOM prints table, row number and result of each row, and
# finally the number of rows.

import sys

import rooms

count = 0
for table, function, rows in __import__("room_" + sys.argv[1]).TABLES:
    for index, row in enumerate(rows):
        print("%s\t%d\t%s" % (table, index, rooms.Plain(rooms.Observe(function, row[0]))))
        count += 1
print("ROWS\t%d" % count)
