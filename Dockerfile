# The program alone, as nobody in particular. Build the binary before: make build.
FROM scratch
COPY bin/matchyard /matchyard
# A folder that the user below owns, which a new volume takes over.
COPY --chown=65532:65532 deploy/image/ /
USER 65532:65532
EXPOSE 9170/tcp 9171/tcp 7770/udp
VOLUME /data
# Temporary files, such as uploads on their way, need a place too: there is no /tmp.
ENV MATCHYARD_LISTEN=0.0.0.0:9170 MATCHYARD_ADMIN=0.0.0.0:9171 MATCHYARD_DATA=/data TMPDIR=/data
ENTRYPOINT ["/matchyard"]
CMD ["serve"]
