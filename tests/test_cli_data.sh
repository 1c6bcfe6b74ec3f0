#!/bin/sh
# Data as people have them, from the command: folders with other things in them, sets in formats of other programs, paths
# as people write them, names that hold anything. Speaks TAP. DUEL_BINARY names the build tree.
set -u
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/command.sh"
unset DUEL_DATA
here=$PWD HOME=$PWD XDG_CACHE_HOME=$PWD/cache
export HOME XDG_CACHE_HOME

told() { # PATTERN NAME: in the last output, over lines
  tr '\n' ' ' <both >joined
  says "$1" joined "$2"
}

train() { # CODE PATTERN NAME DATA [ARGUMENTS…]: the exit code, and a pattern somewhere in the output, over lines
  code=$1 pattern=$2 name=$3 data=$4
  shift 4
  run_it train --recipe "$here/tiny.yaml" --steps 1 --outdir "$here/r" --data "$data" "$@"
  tr '\n' ' ' <both >joined
  ended "$code" "$pattern" joined "$name"
}

cat >tiny.yaml <<'END'
recipe: 1
data: synthetic:shapes
latent: 8
G: [dense: 16, leaky_relu: 0.2, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]
D: [flatten, dense: 16, leaky_relu: 0.2, dense: 1]
loss: bce
train: {length: 1 steps, batch: 4}
END
"$duel" train --recipe ./tiny.yaml --outdir first -q >log 2>&1 && "$duel" generate first/latest --outdir first --count 12 --out pictures/ >>log 2>&1
result $? "pictures to train on"
set_of() { mkdir -p "$1" && cp pictures/*.png "$1/"; } # FOLDER

# ---- paths as people write them
set_of photos
set_of "my photos"
for path in photos ./photos photos/ photos// " photos " "'photos'" "file://$here/photos" "file://$here/my%20photos" \
  '~/photos' "$here/../${here##*/}/photos" '.\photos'; do
  train 0 "12 images of 1x28x28" "understood: $path" "$path" -n
done
train 3 'Photos: no such file or folder; here there is photos' "another case" Photos
train 3 'in \. there is photos' "another case, as a path" ./Photos
train 3 'no such file or folder: \./photos has no deeper' "where a path ends" ./photos/deeper/still
train 3 'nothing is loaded from the net: fetch it first \(curl -LO' "a URL" https://example.org/set.zip
train 3 'nothing is loaded from the net: copy it here' "a bucket" s3://bucket/set
train 3 'a path of Windows; under WSL drive C: is /mnt/c' "a path of Windows" 'C:\data\set'
train 3 'patterns are not followed: name the folder' "a pattern" 'photos/*.png'
train 3 'variables of the shell are not known here' "a variable" '$HOME/photos'
train 3 'is a single picture: name the folder that holds all' "a picture" photos/00000.png
train 2 'no data set is named' "blanks" ' '
ln -s nowhere gone && ln -s round round && ln -s photos linked && mkfifo pipe && mkdir empty
train 3 'gone is a link to nowhere, which is not there' "a broken link" gone
train 3 'round is a link to round' "a link in a circle" round
train 0 "12 images" "a link to a folder" linked -n
train 3 'pipe: it is a device, pipe or socket' "a pipe" pipe
train 3 'folder ./empty is empty; data are a folder of pictures' "an empty folder" empty

# ---- what lies beside pictures
set_of side
cp tiny.yaml side/ && echo "1 001/0.png" >side/images.txt && printf 'x,y,z\n' >side/labels.csv && : >side/empty.dat
train 0 'passed over 4 files of ./side that are no pictures: empty.dat \(empty\), images.txt \(text\), labels.csv \(a CSV table\), tiny.yaml \(text\)' \
  "other files are passed over, and told" side
grep -q 'passed over 4 files' r/latest/log.txt
result $? "in log.txt too"
set_of birds/images/001 && set_of birds/images/002 && echo "1 001/0.png" >birds/images.txt
train 3 'name ./birds/images' "classes that lie deeper" birds
set_of set/train && set_of set/val && set_of set/test
train 0 'Data: set/train, set/val and set/test are all trained on, as 3 classes; name set/train for the first alone' \
  "parts of a set" set
grep -q 'set/train, set/val and set/test are all trained on' r/latest/log.txt
result $? "parts of a set, in log.txt"

# ---- bad pictures
set_of bad && : >bad/1.png && echo text >bad/2.jpg && head -c 100 pictures/00000.png >bad/3.png && echo '<html>' >bad/4.gif
train 3 '4 of 16 pictures of ./bad are bad: .*1.png is empty .*2.jpg is no picture.*3.png is damaged.*4.gif is no picture but a web page.*data.on_bad=skip' \
  "all bad pictures at once" bad
train 0 '12 images of 1x28x28' "left out" bad --set data.on_bad=skip
told 'left out 4 of 16 pictures of ./bad, which are bad: .*1.png is empty' "and told"
"$duel" train --resume r/latest --steps 2 >both 2>&1
rc=$?
cp both log && result $rc "such a run goes on"

# ---- runs in the data
set_of own
own() { # NAME ARGUMENTS…: in the folder of the data
  name=$1
  shift
  (cd own && "$duel" train "$@") >both 2>&1
  rc=$?
  cp both log && result $rc "data around their runs: $name"
}
for i in 1 2; do own $i --recipe ../tiny.yaml --data . --steps 3; done
own "a resume" --resume latest --steps 6
told 'passed over 1 file of \. that is no picture: runs/ \(runs of duel' "the folder of runs is told"

# ---- sets in other formats: a file of each, alone and in a folder
while IFS='|' read -r file bytes what; do
  rm -rf other && mkdir other && printf "$bytes" >"other/$file"
  for data in "other/$file" other; do train 3 "$file is $what" "$data: $file" "$data"; done
  sed -n 's/.*python3 -c "\(.*\)".*/\1/p' err >line
  [ -s line ] && command -v python3 >/dev/null || continue
  python3 -c 'import ast; ast.parse(open("line").read())' >log 2>&1
  result $? "its line of Python is one: $file"
done <<'END'
data_batch_1|\200\004\225\0\0\0\0\0\0|a batch of CIFAR's Python version: get the binary version
train|\200\002}q\001|a batch of CIFAR's Python version: get the binary version
train_data_batch_1|\200\004\225\0\0\0\0\0\0|a batch of small ImageNet: save its array
train_X.bin|\1\2\3\4|STL-10's binary version: save it for NumPy
data.mdb|\0\0\0\0|an LMDB: export its pictures
other.mdb|\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\336\300\357\276|an LMDB: export its pictures
norb-dat.mat|\125\114\075\036|one of NORB's matrices: save one camera's pictures
train_32x32.mat|MATLAB 5.0 MAT-file, Platform|a MATLAB file: save its pictures as N×H×W×C
new.mat|MATLAB 7.3 MAT-file, Platform|a MATLAB file of version 7.3, which is HDF5: save its array
x.h5|\211HDF\r\n\032\n|an HDF5 file: save its array
mnist.pt|\200\002\212\012\154\374\234\106\371\040\152\250\120\031|a PyTorch file: save its tensor
m.pkl|\200\004\225\0\0\0\0\0\0|a pickle of Python: save its array
m|\200\004\225\0\0\0\0\0\0|a pickle of Python: save its array
train-00000-of-00001.parquet|PAR1\0\0|a Parquet file: write its pictures out
data-00000-of-00001.arrow|\377\377\377\377\0\0|an Arrow file: write its pictures out
ffhq-r08.tfrecords|\1\0\0\0|a TFRecord: write its pictures out
train.rec|\012\043\327\316|an MXNet RecordIO: write its pictures out
set.sqlite|SQLite format 3|an SQLite database: export
shard-000.tar|\0\0|a tar archive: unpack it \(tar xf
set.tar.xz|\0757zXZ|a tar archive: unpack it \(tar xf
set.7z|7z\274\257\047\034|a 7z archive: unpack it \(7z x
set.rar|Rar!\032\007|a RAR archive: unpack it \(unrar x
set.bin.bz2|BZh91AY|packed by bzip2: unpack it
set.zst|\050\265\057\375|packed by zstd: unpack it
film.avi|RIFF\0\0\0\0AVI LIST|a video: take its frames
film.mp4|\0\0\0\030ftypisom\0\0\0\0|a video: take its frames
film.mkv|\032\105\337\243|a video: take its frames
scan.pdf|%%PDF-1.7|a PDF: take its pictures
train.csv|label,pixel0,pixel1\n5,0,0\n|a CSV of pixels: save it for NumPy
faces.zip.html|<!DOCTYPE html><html>|a page of the web, not the file that was to be loaded: load the set again
set.zip.lfs|version https://git-lfs.github.com/spec/v1\n|a pointer of Git LFS, not the file itself: get it: git lfs pull
set.zip.part|PK\003\004|an unfinished download: wait for its end
set.tar.crdownload|\0|an unfinished download: wait for its end
END
rm -rf other && mkdir other && printf '\223NUMPY' >other/train.npy
train 3 'holds no pictures: train.npy is an NPY file: name one of them, as in ./other/train.npy' "a folder of arrays" other
rm -rf other && mkdir other && printf 'PK\003\004' >other/set.zip
train 3 'holds no pictures: set.zip is a zip file: name it, as in ./other/set.zip' "a folder with a zip file" other
mv other/set.zip other/set.npz
train 3 'holds no pictures: set.npz is an .npz file of arrays: name one of them, as in ./other/set.npz' "a folder with arrays" other
echo 1 >other/list.txt && rm other/set.npz
train 3 'folder ./other holds no data but list.txt \(text\); data are a folder of pictures' "nothing that is known" other
train 3 'list.txt is text: name the folder of pictures' "a text" other/list.txt
printf 'x' | gzip >other/x.tar.gz
train 3 'x.tar.gz is a tar archive: unpack it' "a gzipped one by its name" other/x.tar.gz

# ---- names that hold anything
plain() { # NAME: no control character in the last output but ends of lines
  ! tr -d '\n' <both | grep -q '[[:cntrl:]]'
  verdict=$?
  [ $verdict = 0 ] || od -c both >log
  result $verdict "$1"
}
odd=$(printf 'a\033[31mb') line=$(printf 'a\nduel: error: b')
set_of odd && : >"odd/$odd.jpg" && : >"odd/$line.png"
train 3 'a.x1b\[31mb.jpg is empty' "a bad picture with a strange name" odd
told 'a.x0aduel: error: b.png is empty' "and one with two lines"
plain "are told plainly"
rm "odd/$odd.jpg" "odd/$line.png" && echo x >"odd/$odd" && echo x >"odd/$line"
train 0 'a.x1b\[31mb \(text\), a.x0aduel: error: b \(text\)|a.x0aduel: error: b \(text\), a.x1b\[31mb \(text\)' "files passed over" odd
plain "are told plainly, too"
grep -q '[[:cntrl:]]' r/latest/log.txt && verdict=1 || verdict=0
result $verdict "so they are in log.txt"
train 3 'data set x.x1b' "a path that is not there" "$(printf 'x\033[2J')"
plain "is told plainly"
set_of "$odd"
train 0 'Data: +a-.31mb; 12 images' "a folder with a strange name" "$odd" --outdir "$here/$odd.runs"
plain "and a folder of runs, too"
told "Resume: .*\\\$'" "with a line that can be pasted"

"$duel" info data >both 2>&1
told 'FILE.zip .*\[(read|not read: this build has no libzip)\]' "info data says whether zip files are read"
finish
